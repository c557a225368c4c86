"""Holds alertmanager.example.yml to the rules: who is told of which alert, and that every inhibition can happen.

    alertmanager.py
"""

import re
import subprocess
import sys
from pathlib import Path

import yaml

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
CONFIG = PROMETHEUS / "alertmanager.example.yml"
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"(.*)"')
RECEIVERS = {"critical": "on-call", "warning": "team", "info": "nobody"}
# The one that knows of no job: there is none.
WITHOUT_JOB = {"LinkReportProxyTargetAbsent"}


def alerts():
    """{name: severity}"""
    rules = yaml.safe_load((PROMETHEUS / "link-report-proxy.rules.yml").read_text())
    rules = [rule for group in rules["groups"] for rule in group["rules"]]
    return {rule["alert"]: rule["labels"]["severity"] for rule in rules if "alert" in rule}


def labels_by_alert():
    """The labels that the alerts have in promtool's cases."""
    found = {}
    for file in PROMETHEUS.glob("*.test.yml"):
        for case in yaml.safe_load(file.read_text())["tests"]:
            for test in case.get("alert_rule_test", []):
                for fires in test["exp_alerts"]:
                    found.setdefault(test["alertname"], []).append(set(fires["exp_labels"]))
    return found


def amtool(*words):
    done = subprocess.run(["amtool", *words], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"amtool {' '.join(words)}: {done.stdout} {done.stderr}"


def routing_faults():
    test = ["config", "routes", "test", f"--config.file={CONFIG}"]
    told = [(name, severity, RECEIVERS[severity]) for name, severity in alerts().items()]
    # Those of other programs are none of our business.
    for name, severity, receiver in [*told, ("KubePodCrashLooping", "critical", "team")]:
        yield amtool(*test, f"--verify.receivers={receiver}", f"alertname={name}", f"severity={severity}", "job=x")


def matched(matchers, names):
    for matcher in matchers:
        label, operator, value = MATCHER.fullmatch(matcher).groups()
        assert label == "alertname", f"inhibitions are by name: {matcher}"
        matches = {
            "=": lambda name: name == value,
            "!=": lambda name: name != value,
            "=~": lambda name: re.fullmatch(value, name),
            "!~": lambda name: not re.fullmatch(value, name),
        }[operator]
        names = {name for name in names if matches(name)}
    return names


def listed(value):
    """The names in `LinkReportProxy(A|B)`; none in `LinkReportProxy.+`."""
    before, words = re.fullmatch(r"(\w+)\((.*)\)", value).groups() if "(" in value else ("", value)
    return {before + word for word in words.split("|")} - {"LinkReportProxy.+"}


def inhibition_faults(config):
    names, labels = set(alerts()), labels_by_alert()
    for name in names - labels.keys():
        yield f"{name}: fires in no case of promtool"
    for rule in config["inhibit_rules"]:
        sides = [rule["source_matchers"], rule["target_matchers"]]
        for matcher in (matcher for side in sides for matcher in side):
            for name in listed(MATCHER.fullmatch(matcher)[3]) - names:
                yield f"{matcher}: there is no alert {name}"
        sources, targets = (matched(side, names) for side in sides)
        if not sources or not targets or sources & targets:
            yield f"{rule}: inhibits {sorted(targets)} by {sorted(sources)}"
        # The labels of one cause. Every `by` of the rules has a cluster, so that alerts have it where targets do.
        if rule["equal"] != ["cluster", "namespace", "job"]:
            yield f"{rule}: is not about one job"
        for name in (sources | targets) & labels.keys():
            lacking = [had for had in labels[name] if not {"namespace", "job"} <= had]
            if lacking and name not in WITHOUT_JOB:
                yield f"{name}: lacks labels that inhibitions compare, it has {lacking}"


def main():
    config = yaml.safe_load(CONFIG.read_text())
    faults = [amtool("check-config", str(CONFIG)), *routing_faults(), *inhibition_faults(config)]
    if config["route"]["group_by"] != ["alertname", "cluster", "namespace", "job"]:
        faults.append(f"groups by {config['route']['group_by']}")
    faults = [fault for fault in faults if fault]
    for fault in faults:
        print(fault)
    if not faults:
        print(f"{len(alerts())} alerts are routed, {len(config['inhibit_rules'])} inhibitions can happen")
    sys.exit(1 if faults else 0)


main()
