"""What Prometheus and Grafana are given: that it is found, whole, and by the names that rules and dashboards go by.

    monitoring.py MONITORING.yaml KINDS.yaml RENDERED.yaml...
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml
from documented import DEPLOY
from overlay import WORKLOADS, template_of
from schema import enum_faults

RULES = DEPLOY / "prometheus" / "link-report-proxy.rules.yml"
SCRAPE = DEPLOY / "kubernetes" / "plain-prometheus" / "prometheus.yml"
# kube-prometheus-stack selects by it, unless it was told otherwise.
RELEASE = "kube-prometheus-stack"
# "kubectl apply" keeps a copy of the object in an annotation, and annotations are limited.
ANNOTATIONS = 256 * 1024
META = "__meta_kubernetes_"


def objects(path):
    return [found for found in yaml.safe_load_all(Path(path).read_text()) if found]


def rule_faults(found):
    yield from enum_faults(found)
    (rule,) = (one for one in found if one["kind"] == "PrometheusRule")
    if rule["spec"] != yaml.safe_load(RULES.read_text()):
        yield "the PrometheusRule is not the rules file: run tests/deploy/generated.py"


def dashboard_faults(found):
    (dashboards,) = (one for one in found if one["kind"] == "ConfigMap")
    meta = dashboards["metadata"]
    if (meta["name"], meta["labels"].get("grafana_dashboard")) != ("link-report-proxy-dashboards", "1"):
        yield f"Grafana's sidecar does not find the dashboards, or finds two of them: {meta}"
    size = sum(len(text.encode()) for text in dashboards["data"].values())
    if size > ANNOTATIONS * 0.9:
        yield f"the dashboards' {size} bytes are too many for kubectl apply: make two ConfigMaps of them"


def release_faults(path):
    for found in objects(path):
        if found["kind"] in ("PodMonitor", "ServiceMonitor", "PrometheusRule"):
            if found["metadata"].get("labels", {}).get("release") != RELEASE:
                yield f"{Path(path).stem}: kube-prometheus-stack ignores the {found['kind']}"


def owner(workload):
    """The kind and name of the controller of its Pods."""
    kind, name = workload["kind"], workload["metadata"]["name"]
    return {"Deployment": ("ReplicaSet", f"{name}-7d9c5b8f4"), "CronJob": ("Job", f"{name}-29310540")}.get(kind, (kind, name))


def relabelled(rules, labels):
    """The labels as Prometheus makes them, in so far as ours need it; None where the target is dropped."""
    for rule in rules:
        # The operator's names are Prometheus', otherwise written.
        rule = {re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", key): value for key, value in rule.items()}
        value = ";".join(labels.get(name, "") for name in rule.get("source_labels", []))
        match, action = re.fullmatch(rule.get("regex", "(.*)"), value), rule.get("action", "replace")
        if action == "replace" and match:
            labels = {**labels, rule["target_label"]: match.expand(rule.get("replacement", "$1").replace("$", "\\"))}
        elif (action == "keep") != bool(match) and action != "replace":
            return None
    return labels


def target_faults(kinds):
    """Each workload is told from the others, and nobody waits for a Job that has ended."""
    (monitor,) = (found for found in kinds if found["kind"] == "PodMonitor")
    (but,) = monitor["spec"]["selector"]["matchExpressions"]
    if but != {"key": "batch.kubernetes.io/job-name", "operator": "DoesNotExist"}:
        yield f"the PodMonitor leaves out {but}, which are not the Jobs"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (scraped,) = yaml.safe_load(SCRAPE.read_text())["scrape_configs"]
    for workload in (found for found in kinds if found["kind"] in WORKLOADS):
        kind, name = owner(workload)
        label = template_of(workload)["metadata"]["labels"]["link-report-proxy"]
        labels = {
            f"{META}namespace": "n",
            f"{META}pod_name": f"{name}-x",
            f"{META}pod_controller_kind": kind,
            f"{META}pod_controller_name": name,
            f"{META}pod_label_link_report_proxy": label,
            f"{META}pod_container_port_name": endpoint["port"],
        }
        if kind == "Job":
            if relabelled(scraped["relabel_configs"], {**labels, f"{META}pod_label_batch_kubernetes_io_job_name": name}):
                yield f"plain Prometheus waits for {name}"
            continue
        for who, rules in (("the operator's", endpoint["relabelings"]), ("plain", scraped["relabel_configs"])):
            if (found := relabelled(rules, labels)["workload"]) != workload["metadata"]["name"]:
                yield f"{who} Prometheus calls {workload['metadata']['name']} {found}"
        if relabelled(scraped["relabel_configs"], {**labels, f"{META}pod_container_port_name": "http"}):
            yield f"plain Prometheus scrapes other ports of {name}"


def scrape_faults():
    """Debian's promtool knows no Kubernetes, so that part is put in other words for it."""
    text = SCRAPE.read_text()
    assert "kubernetes_sd_configs:\n      - role: pod\n" in text
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(text.replace("kubernetes_sd_configs:\n      - role: pod\n", "static_configs: []\n"))
        file.flush()
        checked = subprocess.run(["promtool", "check", "config", file.name], capture_output=True, text=True)
    if checked.returncode != 0:
        yield f"promtool says of {SCRAPE.name}: {checked.stdout}{checked.stderr}"


def main(monitoring, kinds, *rendered):
    found = objects(monitoring)
    faults = [*rule_faults(found), *dashboard_faults(found), *target_faults(objects(kinds)), *scrape_faults()]
    for path in (monitoring, *rendered):
        faults += release_faults(path)
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main(*sys.argv[1:])
