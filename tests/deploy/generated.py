#!/usr/bin/env python3
"""Files of deploy/kubernetes that follow from others, for tools that cannot include a file in another.

    generated.py            writes them
    generated.py --check    fails if one is not as it would be written
"""

import sys
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
RULES = DEPLOY / "prometheus" / "link-report-proxy.rules.yml"
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


def generated():
    yield KUBERNETES / "monitoring" / "prometheusrule.yaml", prometheus_rule()
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
