"""Real Prometheus scrapes real proxies in fair and foul weather, with the shipped rules loaded. Then: every panel's query has
data, and never a NaN, and every scenario has raised the alerts that it must, and none other.

    observe.py BINARY
"""

import datetime
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from contextlib import ExitStack
from pathlib import Path

import yaml

import dashboards
import fleets
import scenarios
from processes import free_port, http, wait_for

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "link-report-proxy.rules.yml"
# Seconds.
LEAST, MOST = 30, 90
NAMESPACE = "weather"
ALL = [*scenarios.ALL, *fleets.ALL]


class Prometheus:
    """Debian's, on loopback, its data in a directory that goes when it does."""

    def __init__(self, directory, targets):
        self.url = f"http://127.0.0.1:{free_port()}"
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [
                {
                    "job_name": job,
                    "static_configs": [
                        {"targets": [address], "labels": {"namespace": job.split("/")[0], "pod": f"{job.split('/')[1]}-{pod}"}}
                        for pod, address in enumerate(addresses)
                    ],
                }
                for job, addresses in targets.items()
            ],
        }
        path = Path(directory) / "prometheus.yml"
        path.write_text(yaml.safe_dump(config))
        self.log = Path(directory) / "prometheus.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={path}",
                    f"--storage.tsdb.path={directory}/data",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                stdout=log,
                stderr=log,
            )
        wait_for("Prometheus to be ready", self._is_ready)

    def _is_ready(self):
        if self.process.poll() is not None:
            raise SystemExit(f"Prometheus ended: {self.log.read_text()}")
        try:
            return http("GET", f"{self.url}/-/ready")[0] == 200
        except OSError:
            return False

    def ask(self, api, **parameters):
        status, body = http("GET", f"{self.url}/api/v1/{api}?{urllib.parse.urlencode(parameters)}")
        if status != 200:
            raise AssertionError(f"{parameters}: {body}")
        return json.loads(body)["data"]

    def series(self, query, start, end, step=1):
        """[(labels, [(time, value)])] of a range query."""
        found = self.ask("query_range", query=query, start=start, end=end, step=step)["result"]
        return [(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in found]

    def value(self, query):
        """Of a query with one series: its value now."""
        (one,) = self.ask("query", query=query)["result"]
        return float(one["value"][1])

    def alerts(self):
        """{job: names of the alerts that are pending or firing}."""
        found = {}
        for alert in self.ask("alerts")["alerts"]:
            found.setdefault(alert["labels"].get("job", ""), set()).add(alert["labels"]["alertname"])
        return found

    def end(self):
        self.process.terminate()
        self.process.wait()


def job(scenario):
    return f"{NAMESPACE}/link-report-proxy-{scenario.name}"


def variables(jobs="|".join(job(scenario) for scenario in ALL)):
    """As Grafana fills them in when all is chosen."""
    return {
        "cluster": ".*",
        "namespace": ".*",
        "job": f"({jobs})",
        "pod": ".*",
        "__rate_interval": "4s",
        "__interval": "1s",
        "__range": "1m",
        "datasource": "prometheus",
    }


def panel_faults(prometheus, start, end):
    """Every query has data in some weather, and tells no NaN in any: not either where nobody asks for anything."""
    for title, targets in dashboards.queries(dashboards.load("operator.json")):
        for target in targets:
            query = dashboards.expand(target["expr"], variables())
            # What has not happened is hidden, but counted.
            if not prometheus.series(query.removesuffix(" > 0"), start, end):
                yield f"{title}: no data: {query}"
            for query in (query, dashboards.expand(target["expr"], variables(job(scenarios.IDLE)))):
                points = [point for _, points in prometheus.series(query, start, end) for point in points]
                if not all(math.isfinite(value) for _, value in points):
                    yield f"{title}: is no number: {query}"


def count_faults(prometheus):
    """What replicas of a fleet all tell counts once; what pods tell that share nothing is added up."""
    titled = dict(dashboards.queries(dashboards.load("operator.json")))
    quota = next(target for target in titled["Day's calls"] if target["legendFormat"].startswith("quota"))
    for name, expected in ((job(scenarios.IDLE), 2 * scenarios.SHARE), (job(fleets.ALL[0]), 10_000)):
        found = prometheus.value(dashboards.expand(quota["expr"], variables(name)))
        if found != expected:
            yield f"Day's calls: a quota of {found:.0f} for {name}, not of {expected}"


def alert_faults(raised):
    for scenario in ALL:
        got = raised.pop(job(scenario), set())
        for missing in sorted(scenario.alerts - got):
            yield f"{scenario.name}: {missing} is not raised"
        for strange in sorted(got - scenario.alerts):
            yield f"{scenario.name}: {strange} is raised"
    for other, got in raised.items():
        yield f"{other or 'no job'}: {sorted(got)} raised"


def not_over_midnight():
    """The day's quota begins anew at 00:00 UTC, and there are no alerts of a day that is over."""
    now = datetime.datetime.now(datetime.timezone.utc)
    left = 86_400 - (now.hour * 3600 + now.minute * 60 + now.second)
    if left < 400:
        print(f"waits {left} s for the day to end")
        time.sleep(left + 1)


def main(binary):
    not_over_midnight()
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as running:
        targets = {}
        lives = []
        for scenario in ALL:
            lives.append(scenarios.Running(scenario, binary, directory, stop))
            running.callback(lives[-1].end)
            targets[job(scenario)] = [admin.removeprefix("http://") for admin in lives[-1].admins]
        prometheus = Prometheus(directory, targets)
        running.callback(prometheus.end)
        start = time.time()
        expected = {job(scenario): set(scenario.alerts) for scenario in ALL if scenario.alerts}
        # All see some weather; then what is late is waited for. What should not be there has had its time to come.
        time.sleep(LEAST)
        while time.time() < start + MOST and any(expected[name] - prometheus.alerts().get(name, set()) for name in expected):
            time.sleep(1)
        print(f"observed for {time.time() - start:.0f} s")
        faults = [*alert_faults(prometheus.alerts()), *panel_faults(prometheus, start, time.time()), *count_faults(prometheus)]
        stop.set()
        for life in lives:
            life.thread.join()
            if life.error:
                faults.append(f"{life.scenario.name}: {life.error!r}")
    for fault in faults:
        print(fault)
    if not faults:
        print(f"{len(ALL)} scenarios, {sum(len(one.alerts) for one in ALL)} alerts, every panel has data, and none a NaN")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
