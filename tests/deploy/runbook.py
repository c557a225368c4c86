"""Does what the runbook says: each section has its four parts, its severity and links that lead somewhere; what a person pastes
into a shell or into Prometheus works against real proxies, alone and with a store.

    runbook.py BINARY
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import yaml

from incidents_fleet import Fleet
from processes import Proxy, http, wait_for
from promql import Exposition
from scenarios import cold, consent, refresh

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
SOURCES, FORMS = PROMETHEUS.parents[1] / "src", PROMETHEUS.parent / "kubernetes"
FIRST, PAGES = PROMETHEUS / "runbook.md", PROMETHEUS / "runbook"
PARTS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
CALLS = {"critical": "Critical: calls who is on call.", "warning": "Warning: tells the team.", "info": "Information: tells nobody."}
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMQL = re.compile(r"^```promql\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections(text):
    """{heading: what follows it}"""
    found = re.split(r"^## (.+)$", text, flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2]))


def pages():
    """{name of the page: its sections}"""
    return {page.stem: sections(page.read_text()) for page in sorted(PAGES.glob("*.md"))}


def form_faults():
    rules = yaml.safe_load((PROMETHEUS / "link-report-proxy.rules.yml").read_text())
    severities = {rule["alert"]: rule["labels"]["severity"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    for page, found in pages().items():
        for name, text in found.items():
            parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
            if parts != PARTS:
                yield f"{page}: {name} has the parts {parts}"
            if text.strip().splitlines()[0] != CALLS[severities[name]]:
                yield f"{page}: {name} does not say whom it calls, being {severities[name]}"
            if f"runbook/{page}.md#{name.lower()}" not in FIRST.read_text():
                yield f"{page}: {name} is not on the first page"


def anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def link_faults():
    for page in [FIRST, PROMETHEUS / "incidents.md", *PAGES.glob("*.md")]:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            path, _, section = target.partition("#")
            if path.startswith("http"):
                continue
            file = (page.parent / path).resolve() if path else page
            if not file.exists():
                yield f"{page.name}: {target} leads nowhere"
            elif section and section not in {anchor(heading) for heading in re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)}:
                yield f"{page.name}: {target} has no such section"


def blocks(kind):
    """(page, what is to be pasted)"""
    for page in [FIRST, *sorted(PAGES.glob("*.md"))]:
        for block in kind.findall(page.read_text()):
            yield page.name, block


def shell_faults(proxies, activity):
    """Each block ends well with each proxy, and shows something of at least one."""
    for page, block in blocks(SHELL):
        said = []
        for proxy in proxies:
            # One of the commands purges it.
            proxy.report(activity)
            environment = {**os.environ, "ADMIN": proxy.admin, "ID": activity}
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", block], env=environment, capture_output=True, text=True, timeout=30)
            if done.returncode:
                yield f"{page}: {block.strip()}: {done.returncode}: {done.stdout}{done.stderr}"
            said.append(done.stdout)
        nothing = re.compile(r'null|\{\}|\[\]|"\w+": null|[{}\[\],\s]')
        if all(not nothing.sub("", answer) for answer in said):
            yield f"{page}: {block.strip()}: shows nothing: {said}"


def port_faults():
    """The first page has the ports of the forms, and no page goes another way, which a NetworkPolicy closes."""
    listens = {form: tomllib.loads((FORMS / form / "link-report-proxy.toml").read_text())["admin"]["listen"] for form in ("sidecar", "shared")}
    sidecar, shared = (listen.rpartition(":")[2] for listen in listens.values())
    said = re.search(r"The admin port is (\d+) of a `sidecar` and (\d+) of the form `shared`", FIRST.read_text())
    if not said or said.groups() != (sidecar, shared):
        yield f"{FIRST.name}: says of the admin port {said and said[0]}, which is {listens}"
    for page in [FIRST, *PAGES.glob("*.md")]:
        for line in page.read_text().splitlines():
            if re.search(r"kubectl .*( --raw |port-forward \S+ (?!\$PORT|\d+:\$PORT))", line):
                yield f"{page.name}: asks another port, or not through port-forward: {line.strip()}"


def loop_faults(proxy):
    """What asks one Pod after the other gets an answer of each."""
    for page in sorted(PAGES.glob("*.md")):
        for loop in re.findall(r"^    for pod in .*?^    done$", page.read_text(), re.MULTILINE | re.DOTALL):
            with tempfile.TemporaryDirectory() as programs:
                kubectl = Path(programs) / "kubectl"
                kubectl.write_text(f"#!{sys.executable}\n{(Path(__file__).parent / 'forwarding.py').read_text()}")
                kubectl.chmod(0o755)
                environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PORT": "19090", "ADMIN": proxy.admin}
                done = subprocess.run(["bash", "-c", loop], env=environment, capture_output=True, text=True, timeout=60)
            answers = [line for line in done.stdout.splitlines() if line.startswith("{")]
            if len(answers) != 2:
                yield f"{page.name}: {loop.strip()}: {done.stdout}{done.stderr}"


def log_of_a_failed_call(binary, directory):
    """Of a client with a name."""
    tokens = Path(directory) / "tokens"
    tokens.write_text("sales 0123456789abcdef\n")
    proxy = Proxy(binary, "demo", {"log.format": "json", "clients.tokens_file": tokens}, directory)
    try:
        proxy.fault("html", id=cold(1))
        url = f"{proxy.data}/v3/reports/email_reports/{cold(1)}/links"
        status, _ = http("GET", url, headers={"Authorization": "Bearer 0123456789abcdef"})
        assert status == 502, status
        wait_for("the log", lambda: '"error_key"' in proxy.log.read_text())
        return proxy.log.read_text()
    finally:
        proxy.end()


def log_faults(log):
    """What is done with a log finds something in one with a failed call, or looks for words that are in the program."""
    for page in [FIRST, *sorted(PAGES.glob("*.md"))]:
        for command in re.findall(r"^    (kubectl -n NS logs -l .*)$", page.read_text(), re.MULTILINE):
            # With a selector kubectl shows ten lines of each Pod unless it is told otherwise.
            if "--tail=-1" not in command:
                yield f"{page.name}: shows the last ten lines only: {command}"
        for pipe in re.findall(r"^    kubectl -n NS logs \S.*? \| (.*)$", page.read_text(), re.MULTILINE):
            text = log
            if words := re.match(r"grep (?:-i )?'?([\w ]+?)'?(?: \||$)", pipe):
                text += f"{words[1]}\n"
                if not any(words[1] in source.read_text() for source in SOURCES.rglob("*.rs")):
                    yield f"{page.name}: no log line has {words[1]}"
            done = subprocess.run(["bash", "-c", pipe.replace("NAME", "sales")], input=text, capture_output=True, text=True)
            if done.returncode or not done.stdout.strip():
                yield f"{page.name}: {pipe}: {done.returncode}: {done.stdout}{done.stderr}"


def query_faults(exposition):
    for page, block in blocks(PROMQL):
        for line in block.splitlines():
            for fault in exposition.faults(line):
                yield f"{page}: {line}: {fault}"


def main(binary):
    with tempfile.TemporaryDirectory() as directory:
        alone = Proxy(binary, "demo", {"cache.refresh": "planned"}, directory)
        fleet = Fleet(binary, directory, [])
        vendor, key = fleet.vendor.simulator(), Path(directory) / "seal-key"
        key.write_text("01" * 32)
        shared = {"shared.url": fleet.url, "shared.key_file": key}
        replica = refresh(vendor, consent(vendor)["refresh_token"], directory, binary, shared)
        try:
            activity = alone.campaigns()[0]
            faults = [*form_faults(), *link_faults(), *query_faults(Exposition(alone.metrics(), replica.metrics()))]
            faults.extend([*port_faults(), *loop_faults(replica)])
            faults.extend(shell_faults([alone, replica], activity))
            faults.extend(log_faults(log_of_a_failed_call(binary, directory)))
        finally:
            replica.end()
            fleet.end()
            alone.end()
    for fault in faults:
        print(fault)
    if not faults:
        print(f"{sum(len(found) for found in pages().values())} sections, {len(list(blocks(SHELL)))} commands, {len(list(blocks(PROMQL)))} queries")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
