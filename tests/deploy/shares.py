"""Whether all that call with one API key stay within what the vendor allows it: 10,000 calls a day, 4 a second.

    kubectl kustomize MY-OVERLAY > mine.yaml
    shares.py mine.yaml...     all that use one key; prints the sums, and fails if they are too much

Without a store each replica counts for itself, so its limit counts as often as there can be replicas at one time: a
HorizontalPodAutoscaler's maxReplicas, and the surge of a rollout. With a store the limit is that of all replicas, and
shared.replicas has to be their number: while the store is away, it is what keeps them within the key.
"""

import math
import sys

from overlay import Overlay

ALLOWED = {"PER_DAY": 10_000, "PER_SECOND": 4}


def replicas(overlay, workload):
    """The most that can run at one time. Raises ValueError where there is no such number."""
    spec, name = workload["spec"], workload["metadata"]["name"]
    if workload["kind"] == "DaemonSet":
        raise ValueError(f"the DaemonSet {name} has as many replicas as there are nodes: it needs a store")
    if workload["kind"] == "CronJob":
        if spec.get("concurrencyPolicy", "Allow") == "Allow":
            raise ValueError(f"the CronJob {name} may run any number of times at once: concurrencyPolicy Forbid")
        return spec["jobTemplate"]["spec"].get("parallelism", 1)
    if workload["kind"] == "Job":
        return spec.get("parallelism", 1)
    scaled = [
        scaler["spec"]["maxReplicas"]
        for scaler in overlay.of("HorizontalPodAutoscaler")
        if (scaler["spec"]["scaleTargetRef"]["kind"], scaler["spec"]["scaleTargetRef"]["name"]) == (workload["kind"], name)
    ]
    most = max([spec.get("replicas", 1), *scaled])
    return most + surge(spec, most) if workload["kind"] == "Deployment" else most


def surge(spec, most):
    strategy = spec.get("strategy", {})
    if strategy.get("type") == "Recreate":
        return 0
    more = strategy.get("rollingUpdate", {}).get("maxSurge", "25%")
    return math.ceil(int(more.removesuffix("%")) * most / 100) if isinstance(more, str) else more


def all_replicas(overlay):
    """Raises ValueError."""
    return sum(replicas(overlay, workload) for workload in overlay.workloads)


def sums(overlays):
    """{setting: calls of all of them}. Raises ValueError."""
    total = dict.fromkeys(ALLOWED, 0)
    for overlay in overlays:
        sharers = 1 if overlay.is_fleet else all_replicas(overlay)
        for setting, most in ALLOWED.items():
            # Unset, it is the vendor's own.
            total[setting] += int(overlay.setting(f"QUOTA__{setting}") or most) * sharers
    return total


def faults(overlays):
    try:
        total = sums(overlays)
    except ValueError as fault:
        return [str(fault)]
    # 0 is no limit at all.
    found = [f"QUOTA__{key}: {calls} of {ALLOWED[key]}" for key, calls in total.items() if not 0 < calls <= ALLOWED[key]]
    for overlay in (overlay for overlay in overlays if overlay.is_fleet):
        told = int(overlay.setting("SHARED__REPLICAS") or 1)
        # Nobody knows how many nodes there are.
        if not any(workload["kind"] == "DaemonSet" for workload in overlay.workloads) and told < all_replicas(overlay):
            found.append(f"SHARED__REPLICAS: {told} of {all_replicas(overlay)}")
    return found


if __name__ == "__main__":
    given = [Overlay(path) for path in sys.argv[1:]]
    found = faults(given)
    print("\n".join(found) or sums(given))
    sys.exit(1 if found else 0)
