"""The components put the same sidecar into Pods of every kind, and leave what is the program's own as it was.

    kinds.py RENDERED.yaml     of tests/deploy/kinds
"""

import copy
import sys
from pathlib import Path

import shares
import yaml
from overlay import PROXY, WORKLOADS, Overlay, containers_of, template_of

SOURCE = Path(__file__).parent / "kinds" / "programs.yaml"
# Of the fixture, without a store: the scaler's 5 and a quarter more in a rollout, 3, and one run at a time.
REPLICAS = {"Deployment": 7, "StatefulSet": 3, "Job": 1, "CronJob": 1}


def part_faults(workload, wanted):
    """Its parts of the sidecar are those of the Deployment."""
    template = template_of(workload)
    if containers_of(template)[0] != wanted["proxy"]:
        yield "has another sidecar, or not as its first container"
    for field in ("volumes", "terminationGracePeriodSeconds"):
        if template["spec"].get(field) != wanted[field]:
            yield f"has other {field}"
    if template["metadata"]["labels"].get(PROXY) != "sidecar":
        yield "has not the label that PodMonitor and NetworkPolicies select"


def own_faults(workload, source):
    """Without the sidecar it is the program as it was."""
    bare = copy.deepcopy(workload)
    del bare["metadata"]["namespace"]
    template = template_of(bare)
    del template["metadata"]["labels"][PROXY], template["spec"]["volumes"], template["spec"]["terminationGracePeriodSeconds"]
    template["spec"]["initContainers"].pop(0)
    if bare != source:
        yield f"is {bare}, which was {source}"


def share_faults(overlay):
    for workload in overlay.workloads:
        try:
            found = shares.replicas(overlay, workload)
        except ValueError:
            found = None
        if found != REPLICAS.get(workload["kind"]):
            yield f"{workload['kind']}: {found} replicas share the key"
    endless = copy.deepcopy(next(workload for workload in overlay.workloads if workload["kind"] == "CronJob"))
    endless["spec"]["concurrencyPolicy"] = "Allow"
    try:
        yield f"CronJob: {shares.replicas(overlay, endless)} runs at once, though nothing forbids more"
    except ValueError:
        pass


def main(rendered):
    overlay = Overlay(rendered)
    sources = {found["metadata"]["name"]: found for found in yaml.safe_load_all(SOURCE.read_text()) if found["kind"] in WORKLOADS}
    wanted = {**overlay.pod, "proxy": overlay.proxy}
    assert overlay.workload["kind"] == "Deployment"
    faults = [*share_faults(overlay)]
    missing = sources.keys() - {workload["metadata"]["name"] for workload in overlay.workloads}
    faults += [f"{name}: has no sidecar" for name in missing]
    for workload in overlay.workloads:
        source = sources[workload["metadata"]["name"]]
        found = [*part_faults(workload, wanted), *own_faults(workload, source)]
        faults += [f"{workload['kind']}: {fault}" for fault in found]
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main(*sys.argv[1:])
