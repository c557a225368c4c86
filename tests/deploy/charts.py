"""Renders the charts as Helm 4 does, and holds them to the overlays of the same forms.

    charts.py DIRECTORY     has the rendered overlays and grafana-release.yaml; gets chart-*.yaml
"""

import re
import shutil
import sys
import tempfile
from pathlib import Path

import helm_python as helm
import yaml
from documented import DEPLOY
from overlay import Overlay

NAMESPACE = "link-reports-prod"
SKIPPED = {
    "checkov.io/skip1": "CKV_K8S_11=a CPU limit only adds waiting; requests are set",
    "checkov.io/skip2": "CKV_K8S_43=digests belong into the values of a real cluster",
    "checkov.io/skip3": "CKV_K8S_15=tags are pinned, so the image is the same wherever it is present",
}
INGRESS = {
    "enabled": True,
    "className": "nginx",
    "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"},
    "hosts": ["link-reports.example.com"],
    "tls": [{"secretName": "link-reports-tls", "hosts": ["link-reports.example.com"]}],
}
MONITOR = {"podMonitor": {"enabled": True, "labels": {"release": "kube-prometheus-stack"}}}
SHARED = {"annotations": SKIPPED, "metrics": MONITOR}
# With all that Kubernetes takes: a reference to a field, a volume of several sources.
EXTRA = {
    "extraEnv": [
        {"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "k8s.pod.name=$(POD)"},
    ],
    "extraVolumes": [
        {"name": "company-ca", "configMap": {"name": "company-ca"}},
        {"name": "more", "projected": {"defaultMode": 0o444, "sources": [{"secret": {"name": "client-secret"}}]}},
    ],
    "extraVolumeMounts": [
        {"name": "company-ca", "mountPath": "/etc/company-ca", "readOnly": True},
        {"name": "more", "mountPath": "/run/secrets/more", "readOnly": True},
    ],
}
NO_EXTRA = [
    ("a setting beside the settings", {"extraEnv": [{"name": "LINK_REPORT_PROXY__QUOTA__PER_DAY", "value": "10000"}]}, "extraEnv"),
    ("a number in the environment", {"extraEnv": [{"name": "A", "value": 1}]}, "extraEnv"),
    ("a volume without a name", {"extraVolumes": [{"emptyDir": {}}]}, "extraVolumes"),
    ("a mount at no place", {"extraVolumeMounts": [{"name": "company-ca"}]}, "extraVolumeMounts"),
]
# What there is only because there are releases.
RELEASE = {"app.kubernetes.io/instance", "link-report-proxy-release", "app.kubernetes.io/name"}


def rendered(chart, values, name):
    """Its objects. Raises HelmError, for values that its schema refuses too."""
    chart.validate_schema(values)
    texts = [text for path, text in chart.render(values, name=name, namespace=NAMESPACE).items() if path.endswith(".yaml")]
    objects = [found for text in texts for found in yaml.safe_load_all(text) if found]
    for found in objects:
        found["metadata"]["namespace"] = NAMESPACE
    return objects


def refusal_faults(chart, cases, name):
    for what, values, word in cases:
        try:
            rendered(chart, values, name)
            yield f"{name}: takes {what}"
        except helm.HelmError as error:
            if word not in str(error):
                yield f"{name}: says of {what} not {word}: {error}"


def comparable(node, renamed):
    """Without what a release adds, and with one name for each ConfigMap."""
    if isinstance(node, list):
        return [comparable(part, renamed) for part in node]
    if not isinstance(node, dict):
        return node
    found = {key: comparable(value, renamed) for key, value in node.items() if key not in RELEASE}
    for key in found.keys() & {"configMap", "configMapRef"}:
        found[key] = {**found[key], "name": renamed[found[key]["name"]]}
    return found


def names(config_maps):
    """{name: what it is} of the ConfigMaps, which one side names by a hash and the other by its release."""
    renamed = {}
    for name, data in config_maps.items():
        toml = "link-report-proxy.toml" in data
        token = any("TOKEN__SOURCE" in key or "TOKEN__REFRESH" in key for key in data)
        renamed[name] = "the file" if toml else "the token's settings" if token else "the settings"
    return renamed


def shape(overlay):
    """{what: spec} of what has to be the same."""
    renamed = names(overlay.config_maps)
    shapes = {"Pod": comparable(overlay.pod, renamed), "Deployment": comparable(overlay.workload["spec"], renamed)}
    shapes["Deployment"].pop("template")
    for kind in ("Service", "PersistentVolumeClaim", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        for found in overlay.of(kind):
            shapes[kind] = comparable(found["spec"], renamed)
    for monitor in shapes["PodMonitor"]["podMetricsEndpoints"]:
        # The operator makes the job's name from the PodMonitor's, which is the release's here.
        monitor["relabelings"] = [rule for rule in monitor["relabelings"] if rule["targetLabel"] != "job"]
    (shapes["file"],) = [data for name, data in overlay.config_maps.items() if renamed[name] == "the file"]
    shapes["file"] = {key: text.strip() for key, text in shapes["file"].items()}
    environment = {key: value for data in overlay.config_maps.values() for key, value in data.items() if "__" in key}
    return {**shapes, "environment": environment}


def difference_faults(chart, overlay):
    ours, theirs = shape(chart), shape(overlay)
    # The default, which the chart spells out.
    for container in ours["Pod"].get("initContainers", []) + ours["Pod"]["containers"]:
        if container.get("imagePullPolicy") == "IfNotPresent":
            del container["imagePullPolicy"]
    for what in ours.keys() | theirs.keys():
        if ours.get(what) != theirs.get(what):
            yield f"{chart.name}: another {what}: {ours.get(what)}, in the overlay {theirs.get(what)}"


def extra_faults(bare, extended):
    """What is given is there as it was given, behind what the chart has, and nothing else is another."""
    pod, more = bare.pod, extended.pod
    for what, had, has in (
        ("extraEnv", bare.proxy.get("env", []), extended.proxy.pop("env", [])),
        ("extraVolumes", pod["volumes"], more.pop("volumes")),
        ("extraVolumeMounts", bare.proxy["volumeMounts"], extended.proxy.pop("volumeMounts")),
    ):
        if has != [*had, *EXTRA[what]]:
            yield f"{extended.name}: {what} came out as {has}"
    extended.proxy["volumeMounts"], more["volumes"] = bare.proxy["volumeMounts"], pod["volumes"]
    if more != pod:
        yield f"{extended.name}: is another Pod: {more}"


def documented_values():
    """Those of the page, each block of them."""
    page = (DEPLOY / "helm" / "README.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(block) for block in blocks]


def version_faults(place):
    """A chart is of the proxy's own release."""
    version = re.search(r'^version = "(.*)"$', (DEPLOY.parent / "Cargo.toml").read_text(), re.MULTILINE)[1]
    for name in ("link-report-proxy", "link-report-proxy-sidecar"):
        said = yaml.safe_load((place / name / "Chart.yaml").read_text())
        if {said["version"], said["appVersion"]} != {version}:
            yield f"{name}: is of {said['version']} and {said['appVersion']}, the proxy of {version}"


def lint_faults(path):
    """Warnings too: 1 is information."""
    for message in helm.lint(str(path))["messages"]:
        if message["severity"] > 1:
            yield f"{path.name}: {message['error']}"


def written(objects, path):
    path.write_text(yaml.safe_dump_all(objects, sort_keys=False))
    return Overlay(path)


def shared_faults(place, directory):
    with helm.Chart.load(str(place / "link-report-proxy")) as chart:
        yield from refusal_faults(
            chart,
            [
                ("replicas", {"replicaCount": 2}, "replicaCount"),
                ("a secret", {"config": {"settings": {"token": {"refresh_token": "x"}}}}, "refresh_token"),
                ("an Ingress without TLS", {"ingress": {**INGRESS, "tls": []}}, "minItems"),
                ("an Ingress from nowhere", {"ingress": INGRESS}, "ingressNamespace"),
                ("no Secret", {"config": {"existingSecret": ""}}, "existingSecret"),
                ("a port of each node", {"service": {"type": "NodePort"}}, "service"),
                ("an address for everybody", {"service": {"type": "LoadBalancer"}}, "service"),
                ("another volume for the token", {"extraVolumes": [{"name": "state", "emptyDir": {}}]}, "extraVolumes"),
                *NO_EXTRA,
            ],
            "link-report-proxy",
        )
        found = written(rendered(chart, SHARED, "link-report-proxy"), directory / "chart-shared.yaml")
        yield from difference_faults(found, Overlay(directory / "prod-shared.yaml"))
        extended = written(rendered(chart, {**SHARED, **EXTRA}, "link-report-proxy"), directory / "extra-shared.yaml")
        yield from extra_faults(found, extended)
        for values in documented_values():
            rendered(chart, values, "link-report-proxy")
        large = rendered(chart, {"config": {"settings": {"cache": {"max_bytes": 100_000_000}}}}, "other")
        if "100000000" not in [v for one in large if one["kind"] == "ConfigMap" for v in one["data"].values()]:
            yield "link-report-proxy: a large number is not what it was"
        more = {**SHARED, "ingress": INGRESS, "networkPolicy": {"ingressNamespace": "ingress-nginx"}}
        written(rendered(chart, more, "link-report-proxy"), directory / "chart-ingress.yaml")


def sidecar_faults(place, directory):
    helm.dependency_update(str(place / "example"))
    with helm.Chart.load(str(place / "example")) as chart:
        yield from refusal_faults(
            chart,
            [
                ("three replicas on two shares", {"link-report-proxy-sidecar": {"config": {"replicas": 3}}}, "per_day"),
                ("a secret", {"link-report-proxy-sidecar": {"config": {"settings": {"token": {"access_token": "x"}}}}}, "token"),
                *((what, {"link-report-proxy-sidecar": values}, word) for what, values, word in NO_EXTRA),
            ],
            "program",
        )
        found = written(rendered(chart, {}, "program"), directory / "chart-sidecar.yaml")
        yield from difference_faults(found, Overlay(directory / "prod-sidecar.yaml"))
        extended = written(rendered(chart, {"link-report-proxy-sidecar": EXTRA}, "program"), directory / "extra-sidecar.yaml")
        yield from extra_faults(found, extended)


def grafana_faults(directory):
    """Values for Grafana's own chart, which is not at hand: they have the sidecar and its ConfigMaps."""
    place = DEPLOY / "kubernetes"
    values = yaml.safe_load((place / "grafana-release" / "values.yaml").read_text())
    sidecar = Overlay(directory / "prod-sidecar.yaml")
    made = [found for found in yaml.safe_load_all((directory / "grafana-release.yaml").read_text()) if found]
    maps = {found["metadata"]["name"]: found["data"] for found in made if found["kind"] == "ConfigMap"}
    for what, theirs, ours in (
        ("sidecar", [sidecar.proxy], values["extraInitContainers"]),
        ("volumes", sidecar.pod["volumes"], values["extraContainerVolumes"]),
    ):
        try:
            if comparable(ours, names(maps)) != comparable(theirs, names(sidecar.config_maps)):
                yield f"grafana-release: another {what}"
        except KeyError as missing:
            yield f"grafana-release: its {what} name a ConfigMap that is not made: {missing}"
    if values["podLabels"] != {"link-report-proxy": "sidecar"}:
        yield "grafana-release: the PodMonitor does not find it"
    if values["datasources"]["link-report-proxy.yaml"] != yaml.safe_load((place / "example" / "datasource.yaml").read_text()):
        yield "grafana-release: another data source"


def main(directory):
    with tempfile.TemporaryDirectory() as copy:
        place = Path(copy) / "helm"
        shutil.copytree(DEPLOY / "helm", place)
        faults = [*shared_faults(place, Path(directory)), *sidecar_faults(place, Path(directory)), *version_faults(place)]
        faults += grafana_faults(Path(directory))
        for path in ("link-report-proxy", "example"):
            faults += lint_faults(place / path)
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main(*sys.argv[1:])
