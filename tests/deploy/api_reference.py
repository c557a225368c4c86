"""The descriptions of both ports as a page to read: deploy/openapi/README.md, written by generated.py."""

HEAD = """# Both ports, route by route

Made from [data.yaml](data.yaml) and [admin.yaml](admin.yaml) by `tests/deploy/generated.py`: edit those. A running proxy serves
both as one at the admin port's `/openapi.json`, for programs. `HEAD` is answered as `GET` is, without the body, wherever there is
a `GET` and nothing else is said.
"""
REFERENCES = "#/components/"


class Description:
    """What one file says, with its references followed."""

    def __init__(self, said):
        self.said = said

    def followed(self, node):
        reference = node.get("$ref", "")
        if not reference:
            return node
        kind, name = reference.removeprefix(REFERENCES).split("/")
        return self.said["components"][kind][name]

    def type_of(self, schema):
        """A schema in a few words."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            return f"[{name}](#{name.lower()})"
        if "const" in schema:
            return code(schema["const"])
        if "enum" in schema:
            return ", ".join(code(value) for value in schema["enum"])
        if "anyOf" in schema:
            return " or ".join(self.type_of(one) for one in schema["anyOf"])
        kinds = schema.get("type", "any")
        kind, *others = kinds if isinstance(kinds, list) else [kinds]
        if kind == "array":
            return f"array of {self.type_of(schema['items'])}"
        form = [f"({schema['format']})"] if "format" in schema else []
        bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
        return " or ".join([" ".join([kind, *form, *bounds]), *others])

    def fields(self, schema, within=""):
        """(name, whether it is always there, type, meaning) of each member, and of the members of members."""
        required = schema.get("required", [])
        for name, member in schema.get("properties", {}).items():
            yield within + name, name in required, self.type_of(member), member.get("description", "")
            inner = member.get("items", member)
            if "$ref" not in inner:
                yield from self.fields(inner, f"{within}{name}{'[]' if 'items' in member else ''}.")

    def members(self, schema):
        rows = [
            [code(name), kind, meaning if always else remark(meaning, "may be absent")]
            for name, always, kind, meaning in self.fields(schema)
        ]
        return table(["member", "type", "meaning"], rows)

    def operation(self, path, method, item):
        said = item[method]
        yield f"### `{method.upper()} {path}`\n"
        yield sentence(said["summary"]) + (f" {said['description']}" if "description" in said else "") + "\n"
        accepted = {kind for way in said.get("security", self.said["security"]) for kind in way}
        for kind in sorted(accepted):
            yield f"With a bearer token: {lower(self.said['components']['securitySchemes'][kind]['description'])}.\n"
        parameters = [self.followed(one) for one in item.get("parameters", []) + said.get("parameters", [])]
        if parameters:
            yield table(["parameter", "in", "value", "meaning"], [self.parameter(one) for one in parameters])
        answers = {status: self.followed(answer) for status, answer in said["responses"].items()}
        yield table(["status", "body", "meaning"], [self.answer(*one) for one in gathered(answers)])
        for status, answer in answers.items():
            if not status.startswith("2"):
                continue
            if headers := answer.get("headers"):
                yield table(["header", "value", "meaning"], [self.header(*one) for one in headers.items()])
            for content in answer.get("content", {}).values():
                if "$ref" not in content["schema"] and content["schema"].get("properties"):
                    yield self.members(content["schema"])

    def parameter(self, said):
        schema, meaning = said["schema"], said.get("description", "")
        if "default" in schema:
            meaning = remark(meaning, f"default {code(schema['default'])}")
        elif not said.get("required"):
            meaning = remark(meaning, "optional")
        return [code(said["name"]), said["in"], self.type_of(schema), meaning]

    def header(self, name, said):
        meaning = said.get("description", "")
        return [code(name), self.type_of(said["schema"]), meaning if said.get("required") else remark(meaning, "not always")]

    def answer(self, statuses, answer):
        bodies = []
        for kind, content in answer.get("content", {}).items():
            named = f": {self.type_of(content['schema'])}" if "$ref" in content["schema"] else ""
            bodies.append(code(kind) + named)
        return [", ".join(statuses), " or ".join(bodies) or "none", answer["description"]]

    def port(self):
        info = self.said["info"]
        yield f"## {info['title'].split(', ')[1].capitalize()}\n"
        yield f"{info['summary']} {info['description']} By default at `{self.said['servers'][0]['url']}`.\n"
        for path, item in self.said["paths"].items():
            for method in ("get", "post", "delete"):
                if method in item:
                    yield from self.operation(path, method, item)
        for name, schema in self.said["components"].get("schemas", {}).items():
            yield f"### {name}\n"
            if "description" in schema:
                yield sentence(schema["description"]) + "\n"
            yield self.members(schema)


def gathered(answers):
    """Answers that are said in the same words, in one row."""
    rows = []
    for status, answer in answers.items():
        alike = next((statuses for statuses, other in rows if other == answer), None)
        if alike is None:
            rows.append(([status], answer))
        else:
            alike.append(status)
    return rows


def code(value):
    words = {None: "null", True: "true", False: "false"}
    return f"`{words[value] if value is None or isinstance(value, bool) else value}`"


def remark(meaning, words):
    return f"{meaning} ({words})".strip()


def sentence(words):
    return words if words.endswith((".", "?")) else f"{words}."


def lower(words):
    return words[0].lower() + words[1:]


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def page(descriptions):
    return "\n".join([HEAD, *(part for said in descriptions for part in Description(said).port())])
