"""What Prometheus and Grafana are given: that it is found, whole, and by the names that rules and dashboards go by.

    monitoring.py MONITORING.yaml KINDS.yaml RENDERED.yaml...
"""

import json
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


def of_prometheus(rules):
    """The operator's fields, as Prometheus writes them."""
    return [{re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", key): value for key, value in rule.items()} for rule in rules]


def relabelled(job, rules, targets):
    """What Prometheus makes of the labels that it would find: {name of the target: its labels, none where it is dropped}.
    Debian's has no Kubernetes in it, so it is told what it would find there."""
    found = [{"targets": [f"{name}:1"], "labels": labels} for name, labels in targets.items()]
    config = {"scrape_configs": [{"job_name": job, "static_configs": found, "relabel_configs": rules}]}
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(yaml.safe_dump(config))
        file.flush()
        command = ["promtool", "check", "service-discovery", "--timeout=1s", file.name, job]
        said = subprocess.run(command, capture_output=True, text=True)
    if said.returncode != 0:
        raise SystemExit(f"promtool says of {job}: {said.stdout}{said.stderr}")
    return {one["discoveredLabels"]["__address__"].removesuffix(":1"): one["labels"] for one in json.loads(said.stdout)}


def target_faults(kinds):
    """Each workload is told from the others, and nobody waits for a Job or a Pod that has ended."""
    (monitor,) = (found for found in kinds if found["kind"] == "PodMonitor")
    (but,) = monitor["spec"]["selector"]["matchExpressions"]
    if but != {"key": "batch.kubernetes.io/job-name", "operator": "DoesNotExist"}:
        yield f"the PodMonitor leaves out {but}, which are not the Jobs"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (scraped,) = yaml.safe_load(SCRAPE.read_text())["scrape_configs"]
    targets, jobs = {}, []
    for workload in (found for found in kinds if found["kind"] in WORKLOADS):
        kind, name = owner(workload)
        labels = {
            "namespace": "n",
            "pod_name": f"{name}-x",
            "pod_controller_kind": kind,
            "pod_controller_name": name,
            "pod_label_link_report_proxy": template_of(workload)["metadata"]["labels"]["link-report-proxy"],
            "pod_container_port_name": endpoint["port"],
            "pod_phase": "Running",
        }
        if kind == "Job":
            labels["pod_label_batch_kubernetes_io_job_name"] = name
            jobs.append(workload["metadata"]["name"])
        targets[workload["metadata"]["name"]] = {f"{META}{key}": value for key, value in labels.items()}
    operators = relabelled("link-report-proxy", of_prometheus(endpoint["relabelings"]), targets)
    other_port = {f"other.{name}": {**labels, f"{META}pod_container_port_name": "http"} for name, labels in targets.items()}
    phases = ("Failed", "Succeeded")
    ended = {f"{phase}.{name}": {**labels, f"{META}pod_phase": phase} for name, labels in targets.items() for phase in phases}
    plain = relabelled(scraped["job_name"], scraped["relabel_configs"], {**targets, **other_port, **ended})
    for name in targets.keys() - set(jobs):
        for who, found in (("the operator's", operators), ("plain", plain)):
            if found[name].get("workload") != name:
                yield f"{who} Prometheus has {found[name]} of {name}"
        if (plain[name].get("namespace"), plain[name].get("pod", "")[: len(name)]) != ("n", name):
            yield f"plain Prometheus has {plain[name]} of {name}"
    for name in (*jobs, *other_port, *ended):
        if plain[name]:
            yield f"plain Prometheus scrapes {name}"


def main(monitoring, kinds, *rendered):
    found = objects(monitoring)
    faults = [*rule_faults(found), *dashboard_faults(found), *target_faults(objects(kinds))]
    for path in (monitoring, *rendered):
        faults += release_faults(path)
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main(*sys.argv[1:])
