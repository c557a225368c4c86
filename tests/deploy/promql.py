"""Which series and labels a PromQL expression speaks of. Not a parser: promtool judges the grammar."""

import re
from dataclasses import dataclass

MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
SELECTOR = re.compile(r'\b((?:link_report_proxy|process)_\w+|up|ALERTS|[a-z_]+:[\w:]+)\b\s*(?:\{([^}]*)\})?')
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")

# What Prometheus adds to a series: from the PodMonitor, or from a plain scrape; and the cluster, where there are several.
TARGET_LABELS = {"cluster", "namespace", "job", "pod", "instance", "container"}


@dataclass(frozen=True)
class Selector:
    name: str
    matchers: tuple  # of (label, operator, value)


def selectors(expression):
    return [
        Selector(name, tuple(MATCHER.findall(matchers)))
        for name, matchers in SELECTOR.findall(expression)
    ]


def grouping_labels(expression):
    found = set()
    for group in GROUPING.findall(expression):
        found.update(label.strip() for label in group.split(",") if label.strip())
    return found


class Exposition:
    """What /metrics holds: each series' name with its labels' values."""

    LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$")

    def __init__(self, *texts):
        self.values = {}
        for line in "\n".join(texts).splitlines():
            if line and not line.startswith("#"):
                name, labels = self.LINE.match(line).groups()
                known = self.values.setdefault(name, {})
                for label, _, value in MATCHER.findall(labels or ""):
                    known.setdefault(label, set()).add(value)

    def labels(self):
        return {label for known in self.values.values() for label in known}

    def faults(self, expression, recorded=frozenset()):
        """Names, labels and values in the expression that nothing here has."""
        for selector in selectors(expression):
            if selector.name in recorded or selector.name == "up":
                known = None
            elif selector.name not in self.values:
                yield f"no such metric: {selector.name}"
                continue
            else:
                known = self.values[selector.name]
            for label, operator, value in selector.matchers:
                yield from self._matcher_faults(selector.name, known, label, operator, value)
        for label in grouping_labels(expression) - self.labels() - TARGET_LABELS:
            yield f"no such label: {label}"

    @staticmethod
    def _matcher_faults(name, known, label, operator, value):
        if label in TARGET_LABELS:
            return
        if known is None or label not in known:
            yield f"{name} has no label {label}"
            return
        if "$" in value:
            return
        # A value that is excluded has to exist as well: who excludes what is not there has misspelt it.
        wanted = value.split("|") if operator in ("=~", "!~") else [re.escape(value)]
        for pattern in wanted:
            if not any(re.fullmatch(pattern, seen) for seen in known[label]):
                yield f'{name}{{{label}}} is never "{pattern}", but {sorted(known[label])}'
