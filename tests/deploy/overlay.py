"""A rendered overlay: the Deployment with the proxy and what belongs to it, and the store where it has one."""

from pathlib import Path

import yaml

PROXY = "link-report-proxy"
STORE = "link-report-proxy-store"


class Overlay:
    def __init__(self, path):
        self.name = Path(path).stem
        self.objects = [found for found in yaml.safe_load_all(Path(path).read_text()) if found]
        self.store = [found for found in self.objects if self._is_of_store(found)]
        self.config_maps = {found["metadata"]["name"]: found["data"] for found in self.of("ConfigMap")}
        self.deployment = next(iter(self.of("Deployment")))
        self.template = self.deployment["spec"]["template"]
        self.pod = self.template["spec"]
        self.containers = [*self.pod.get("initContainers", []), *self.pod["containers"]]
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

    def selects(self, labels):
        return labels.items() <= self.template["metadata"]["labels"].items()
