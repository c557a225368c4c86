"""Fifty sidecars are one job: what makes one replica ring rings once for fifty that suffer the same, and no more often.

Each case of promtool in which an alert fires, with fifty replicas in the place of its one or few.

    sidecars.py
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
SIDECARS = 50
POD = re.compile(r'pod="([^"]+)", instance="([^":]+):(\d+)"')


def of_fifty(case):
    """The same series of fifty pods."""
    names = [series["series"] for series in case["input_series"]]
    each = SIDECARS // len({POD.search(name)[0] for name in names})
    for series in case["input_series"]:
        for number in range(each):
            copy = POD.sub(rf'pod="\1-{number}", instance="\2-{number}:\3"', series["series"])
            yield {"series": copy, "values": series["values"]}


def cases(tests):
    for case in tests:
        for test in case.get("alert_rule_test", []):
            if test["exp_alerts"]:
                expected = len(test["exp_alerts"])
                yield {
                    "name": f"of fifty sidecars: {case['name']}",
                    "interval": case["interval"],
                    "input_series": list(of_fifty(case)),
                    "promql_expr_test": [
                        {
                            "expr": f'count(ALERTS{{alertname="{test["alertname"]}", alertstate="firing"}})',
                            "eval_time": test["eval_time"],
                            "exp_samples": [{"labels": "{}", "value": expected}],
                        }
                    ],
                }


def main():
    rules = PROMETHEUS / "link-report-proxy.rules.yml"
    with tempfile.TemporaryDirectory() as directory:
        files, count = [], 0
        for path in sorted(PROMETHEUS.glob("*.test.yml")):
            content = yaml.safe_load(path.read_text())
            content["tests"] = list(cases(content["tests"]))
            content["rule_files"] = [str(rules)]
            if content["tests"]:
                count += len(content["tests"])
                files.append(Path(directory) / path.name)
                files[-1].write_text(yaml.safe_dump(content, width=10_000))
        done = subprocess.run(["promtool", "test", "rules", *files], capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr)
    else:
        print(f"{count} cases of fifty sidecars each, and each alert fires once")
    sys.exit(done.returncode)


main()
