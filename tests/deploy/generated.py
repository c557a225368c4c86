#!/usr/bin/env python3
"""Files that follow from those of deploy/, for tools that cannot include a file in another.

    generated.py            writes them
    generated.py --check    fails if one is not as it would be written
"""

import json
import re
import sys
import textwrap
from pathlib import Path

import yaml

import api_reference

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
HELM = DEPLOY / "helm"
RULES = DEPLOY / "prometheus" / "link-report-proxy.rules.yml"
VERSION = re.search(r'^version = "(.*)"$', (DEPLOY.parent / "Cargo.toml").read_text(), re.MULTILINE)[1]
NOTE = "# Made from {} by tests/deploy/generated.py: edit that.\n"


def indented(lines, by):
    return "".join(f"{by}{line}\n" if line else "\n" for line in lines)


def prometheus_rule():
    head = "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: link-report-proxy\nspec:\n"
    return NOTE.format("../../prometheus/link-report-proxy.rules.yml") + head + indented(RULES.read_text().splitlines(), "  ")


def cron_job(patch):
    """The patch of a Deployment, at the place that a CronJob has for its Pods."""
    # The comments stay with the source.
    spec = [line for line in patch.split("\nspec:\n", 1)[1].splitlines() if not line.lstrip().startswith("#")]
    head = "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: any\nspec:\n  jobTemplate:\n    spec:\n"
    return NOTE.format("patch.yaml") + head + indented(spec, "    ")


LIBRARY = "{{/* Made from ../../../kubernetes/sidecar by tests/deploy/generated.py: edit that. */}}\n"
VALUES = '{{- $values := index .Values "link-report-proxy-sidecar" }}\n'
# What a chart has of its own: a line of the patch, and of the template.
IN_CHART = {
    "image: link-report-proxy": 'image: "{{ $values.image.repository }}:{{ $values.image.tag | default "' + VERSION + '" }}"',
    "name: link-report-proxy-settings": 'name: {{ include "link-report-proxy.sidecar.name" . }}-settings',
    "name: link-report-proxy-token-settings": 'name: {{ include "link-report-proxy.sidecar.name" . }}-token-settings',
    "name: link-report-proxy": 'name: {{ include "link-report-proxy.sidecar.name" . }}',
    "name: link-report-proxy-token": "name: {{ $values.config.existingSecret }}",
}


def between(lines, start, end=None):
    """The lines after one that is `start`, up to one that is `end`, moved to the left."""
    first = lines.index(start) + 1
    return textwrap.dedent("\n".join(lines[first : lines.index(end) if end else None])).splitlines()


def define(name, lines, *, head=""):
    return f'{{{{- define "link-report-proxy.sidecar.{name}" -}}}}\n{head}' + "".join(f"{line}\n" for line in lines) + "{{- end }}\n"


def for_chart(lines):
    for line in lines:
        words = line.strip()
        # The container keeps its name, which begins its list item.
        yield line.replace(words, IN_CHART[words]) if words in IN_CHART else line


# After the container's last field, its mounts, and after its volumes.
EXTRA = """\
    {{- with $values.extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $values.extraEnv }}
  env:
    {{- toYaml . | nindent 4 }}
  {{- end }}
""".splitlines()
EXTRA_VOLUMES = ["{{- with $values.extraVolumes }}", "{{ toYaml . }}", "{{- end }}"]


def library():
    """The sidecar as named templates."""
    sidecar = KUBERNETES / "sidecar"
    patch = (sidecar / "patch.yaml").read_text().splitlines()
    grace = next(line.strip() for line in patch if "terminationGracePeriodSeconds:" in line)
    monitor = between((sidecar / "podmonitor.yaml").read_text().splitlines(), "spec:")
    monitor[monitor.index("    interval: 30s")] = "    interval: {{ $values.metrics.podMonitor.interval }}"
    # Several releases in a namespace have a PodMonitor each.
    label = "link-report-proxy-release: {{ .Release.Name }}"
    monitor.insert(monitor.index("    link-report-proxy: sidecar") + 1, f"    {label}")
    parts = [
        define("labels", ["link-report-proxy: sidecar", label]),
        define("pod", [grace]),
        define("container", [*for_chart(between(patch, "      initContainers:", "      volumes:")), *EXTRA], head=VALUES),
        define("volumes", [*for_chart(between(patch, "      volumes:")), *EXTRA_VOLUMES], head=VALUES),
        define("podMonitor", monitor, head=VALUES),
        define("egress", between((KUBERNETES / "program" / "networkpolicy.yaml").read_text().splitlines(), "  egress:")),
        define("toml", (sidecar / "link-report-proxy.toml").read_text().splitlines()),
    ]
    return LIBRARY + "\n".join(parts)


def grafana_values():
    """Values of Grafana's own chart."""
    patch = (KUBERNETES / "sidecar" / "patch.yaml").read_text().splitlines()
    image = f"image: registry.example/link-report-proxy:{VERSION}"
    container = [line.replace("image: link-report-proxy", image) for line in between(patch, "      initContainers:", "      volumes:")]
    source = (KUBERNETES / "example" / "datasource.yaml").read_text().splitlines()
    return (
        NOTE.format("../sidecar/patch.yaml and ../example/datasource.yaml")
        + "# For \"helm upgrade -f\"; with kube-prometheus-stack, under the key grafana. A list takes the place of yours of the same name.\n"
        + "podLabels:\n  link-report-proxy: sidecar\nplugins:\n  - yesoreyeram-infinity-datasource\n"
        + "datasources:\n  link-report-proxy.yaml:\n"
        + indented(source, "    ")
        + "extraInitContainers:\n"
        + indented(container, "  ")
        + "extraContainerVolumes:\n"
        + indented(between(patch, "      volumes:"), "  ")
    )


def ports():
    return [yaml.safe_load((DEPLOY / "openapi" / f"{port}.yaml").read_text()) for port in ("data", "admin")]


def openapi(both):
    """The descriptions of both ports as one, which has to say at which port a path is."""
    components = {}
    for path, operations in (item for described in both for item in described["paths"].items()):
        assert ("get" in operations) == ("head" in operations), f"{path}: HEAD is answered as GET is, and one of both is not described"
    for described in both:
        for kind, named in described["components"].items():
            assert not components.get(kind, {}).keys() & named.keys(), f"{kind}: both ports have one of these"
            components.setdefault(kind, {}).update(named)
    whole = {
        "openapi": "3.1.0",
        "info": {**both[0]["info"], "title": "link-report-proxy", "version": VERSION, "summary": "Both ports: the reports, and the proxy itself."},
        "tags": [tag for described in both for tag in described["tags"]],
        "paths": {
            path: {"servers": described["servers"], **{method: secured(described, item) for method, item in operations.items()}}
            for described in both
            for path, operations in described["paths"].items()
        },
        "components": components,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def secured(described, operation):
    """The operation, with the security that holds for all of its port; a path's parameters as they are."""
    return {"security": described["security"], **operation} if isinstance(operation, dict) else operation


def generated():
    both = ports()
    yield DEPLOY.parent / "src" / "admin" / "openapi.json", openapi(both)
    yield DEPLOY / "openapi" / "README.md", api_reference.page(both)
    yield KUBERNETES / "grafana-release" / "values.yaml", grafana_values()
    yield KUBERNETES / "monitoring" / "prometheusrule.yaml", prometheus_rule()
    toml = "link-report-proxy.toml"
    yield HELM / "link-report-proxy" / "files" / toml, (KUBERNETES / "shared" / toml).read_text()
    yield HELM / "link-report-proxy-sidecar" / "templates" / "_sidecar.tpl", library()
    for patch in sorted(KUBERNETES.glob("*/patch.yaml")):
        yield patch.with_name("cronjob.yaml"), cron_job(patch.read_text())


def main(*arguments):
    if arguments == ("--check",):
        old = [path for path, text in generated() if not path.exists() or path.read_text() != text]
        for path in old:
            print(f"{path.relative_to(DEPLOY.parent)} is not what its source says: run tests/deploy/generated.py")
        sys.exit(1 if old else 0)
    for path, text in generated():
        path.write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
