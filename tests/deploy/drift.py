"""Holds rules and dashboards to what the binary exposes: every metric, label, label value, legend and runbook section.

    drift.py BINARY
"""

import json
import re
import sys
import tempfile
import urllib.parse
from contextlib import ExitStack
from pathlib import Path

import yaml

import dashboards
import runbook
from clicks import clicks_faults, token_faults
from grafana_schema import schema_faults
from incidents_fleet import Fleet
from processes import Proxy, http
from promql import TARGET_LABELS, Exposition
from provisioning import example_faults
from scenarios import consent, refresh

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
# One cause is one alert: for a job of a cluster, whatever the number of its replicas.
ONE_JOB = ["cluster", "namespace", "job"]


def rule_faults(exposition):
    rules = yaml.safe_load((PROMETHEUS / "link-report-proxy.rules.yml").read_text())
    rules = [rule for group in rules["groups"] for rule in group["rules"]]
    recorded = {rule["record"] for rule in rules if "record" in rule}
    used = set()
    for rule in rules:
        name = rule.get("record") or rule["alert"]
        for fault in exposition.faults(rule["expr"], recorded):
            yield f"rule {name}: {fault}"
        used.update(found for found in recorded if found in rule["expr"])
        for group in groups(rule["expr"]):
            if group[: len(ONE_JOB)] != ONE_JOB:
                yield f"rule {name}: is by {group}"
    for name in sorted(recorded - used):
        yield f"rule {name}: is used by no alert"
    yield from alert_faults([rule for rule in rules if "alert" in rule])


def groups(expression):
    """The labels of each `by`."""
    return [[label.strip() for label in group.split(",")] for group in re.findall(r"\bby \(([^)]*)\)", expression)]


def alert_faults(alerts):
    pages = {section: page for page, sections in runbook.pages().items() for section in sections}
    names = [alert["alert"] for alert in alerts]
    if pages.keys() != set(names):
        yield f"the runbook's sections are not the alerts: {pages.keys() ^ set(names)}"
    for alert in alerts:
        annotations = alert["annotations"]
        for missing in {"summary", "description", "runbook_url"} - annotations.keys():
            yield f"alert {alert['alert']}: has no {missing}"
        if annotations["runbook_url"] != f"deploy/prometheus/runbook/{pages.get(alert['alert'])}.md#{alert['alert'].lower()}":
            yield f"alert {alert['alert']}: its runbook_url is {annotations['runbook_url']}"
        if alert["labels"]["severity"] not in ("critical", "warning", "info"):
            yield f"alert {alert['alert']}: its severity is {alert['labels']['severity']}"
        labels = {*ONE_JOB, *(label for group in groups(alert["expr"]) for label in group)}
        for label in set(re.findall(r"\$labels\.(\w+)", str(annotations))) - labels:
            yield f"alert {alert['alert']}: speaks of a label {label} that it has not"


def alerts_as_series():
    """What Prometheus itself writes of the rules."""
    rules = yaml.safe_load((PROMETHEUS / "link-report-proxy.rules.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    return "\n".join(
        f'ALERTS{{alertname="{alert["alert"]}",alertstate="{state}",severity="{alert["labels"]["severity"]}"}} 1'
        for alert in alerts
        for state in ("pending", "firing")
    )


def dashboard_faults(exposition):
    dashboard = dashboards.load("operator.json")
    for title, targets in dashboards.queries(dashboard):
        for target in targets:
            for fault in exposition.faults(target["expr"]):
                yield f"panel {title}: {fault}"
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            for fault in exposition.faults(variable["definition"]):
                yield f"variable {variable['name']}: {fault}"
    for panel in dashboards.panels(dashboard):
        for part in ("description", "title"):
            if not panel.get(part):
                yield f"panel {panel['id']}: has no {part}"
        if panel["type"] not in ("state-timeline", "table") and "unit" not in panel["fieldConfig"]["defaults"]:
            yield f"panel {panel['title']}: has no unit"
        yield from legend_faults(exposition, panel)
    yield from link_faults(dashboard)


def link_faults(dashboard):
    """A link into Explore holds a query as JSON; what it takes from the dashboard has to be there."""
    variables = {variable["name"]: "x" for variable in dashboard["templating"]["list"]}
    for link in dashboard["links"]:
        url = dashboards.expand(link["url"], {**variables, "__from": "1", "__to": "2"})
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
        if url.startswith("/explore") and not json.loads(query["panes"])["logs"]["queries"][0]["expr"].startswith("{"):
            yield f"link {link['title']}: has no query"


def legend_faults(exposition, panel):
    """A colour that is given to a series by its name needs a series of that name."""
    shown = {"Value"} if panel["type"] == "table" else set()
    for target in panel["targets"]:
        values = {}
        for name, known in exposition.values.items():
            if name in target["expr"]:
                values.update(known)
        for label in set(re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"])) - TARGET_LABELS - values.keys():
            yield f"panel {panel['title']}: its legend has a label {label} that its query has not"
        shown.update(dashboards.legends(target["legendFormat"], values))
    for override in panel["fieldConfig"]["overrides"]:
        matcher = override["matcher"]
        if matcher["id"] == "byName" and matcher["options"] not in shown:
            yield f"panel {panel['title']}: sets the looks of {matcher['options']}, which is none of {sorted(shown)}"


def main(binary):
    with tempfile.TemporaryDirectory() as directory, ExitStack() as running:
        proxy = Proxy(binary, "demo", {}, directory)
        running.callback(proxy.end)
        # Some series exist only where replicas share a store, and a token in it.
        fleet = Fleet(binary, directory, [])
        running.callback(fleet.end)
        vendor, key = fleet.vendor.simulator(), Path(directory) / "seal-key"
        key.write_text("01" * 32)
        state = Path(directory) / "state"
        state.mkdir(mode=0o700)
        shared = {"shared.url": fleet.url, "shared.key_file": key, "state.dir": state}
        replica = refresh(vendor, consent(vendor)["refresh_token"], directory, binary, shared)
        running.callback(replica.end)
        tokens, token = Path(directory) / "tokens", "0123456789abcdef"
        tokens.write_text(f"grafana {token}\n")
        access = {"upstream.base_url": vendor, "token.access_token": consent(vendor)["access_token"]}
        guarded = Proxy(binary, "serve", {**access, "clients.tokens_file": tokens}, directory)
        running.callback(guarded.end)
        # Before any traffic: what an alert asks for has to be there from the start.
        exposition = Exposition(proxy.metrics(), replica.metrics(), alerts_as_series())
        faults = [*rule_faults(exposition), *dashboard_faults(exposition), *clicks_faults(proxy)]
        faults.extend([*token_faults(guarded, token), *example_faults()])
        for name in ("operator.json", "link-clicks.json"):
            faults.extend(schema_faults(dashboards.load(name)))
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main(*sys.argv[1:])
