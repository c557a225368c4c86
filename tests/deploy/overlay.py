"""A rendered overlay: the Pods with the proxy and what belongs to them, and the store where it has one."""

from pathlib import Path

import yaml

PROXY = "link-report-proxy"
STORE = "link-report-proxy-store"
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


def template_of(workload):
    """What its Pods are made from."""
    spec = workload["spec"]
    return spec["jobTemplate"]["spec"]["template"] if workload["kind"] == "CronJob" else spec["template"]


def containers_of(template):
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def has_proxy(workload):
    return any(container["name"] == PROXY for container in containers_of(template_of(workload)))


class Overlay:
    def __init__(self, path):
        self.name = Path(path).stem
        self.objects = [found for found in yaml.safe_load_all(Path(path).read_text()) if found]
        self.store = [found for found in self.objects if self._is_of_store(found)]
        self.config_maps = {found["metadata"]["name"]: found["data"] for found in self.of("ConfigMap")}
        self.workloads = [found for kind in WORKLOADS for found in self.of(kind) if has_proxy(found)]
        if not self.workloads:
            raise SystemExit(f"{path}: no Pod has the proxy")
        self.workload = self.workloads[0]
        self.template = template_of(self.workload)
        self.pod = self.template["spec"]
        self.containers = containers_of(self.template)
        self.proxy = next(container for container in self.containers if container["name"] == PROXY)
        self.is_sidecar = self.proxy in self.pod.get("initContainers", [])
        self.is_fleet = self.setting("SHARED__URL_FILE") is not None
        self.form = "fleet" if self.is_fleet else "sidecar" if self.is_sidecar else "shared"
        self.ports = {port["name"]: port["containerPort"] for c in self.containers for port in c.get("ports", [])}

    @staticmethod
    def _is_of_store(found):
        return found["metadata"].get("labels", {}).get("app.kubernetes.io/name") == STORE

    def of(self, kind):
        """Without the store's."""
        return [found for found in self.objects if found["kind"] == kind and not self._is_of_store(found)]

    def setting(self, key):
        """A setting that the environment of the proxy has."""
        found = [value for data in self.config_maps.values() for name, value in data.items() if name.endswith(f"__{key}")]
        return found[0] if found else None

    def selects(self, selector):
        """Whether a selector, or what a Service has in its place, is of our Pods. A Job's controller adds its labels later."""
        labels = selector.get("matchLabels", {}) if selector.keys() <= {"matchLabels", "matchExpressions"} else selector
        return bool(labels) and labels.items() <= self.template["metadata"]["labels"].items()
