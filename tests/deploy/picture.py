"""Draws both dashboards from some minutes of a real run, by the dashboards' own queries and layout.

    picture.py BINARY deploy/grafana
"""

import http.client
import random
import re
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import matplotlib

import dashboards
import incidents_fleet
import observe
import scenarios
import slow_motion
from alerting import Prometheus
from clicks import DASHBOARD, Clicks
from drawing import draw
from processes import wait_for

matplotlib.use("Agg")

# The plan sums the demand for the first time after five minutes, and then changes its price each minute.
SECONDS = 480
STORY = SimpleNamespace(name="story")
CLIENTS = {"sales": "0123456789abcdef", "newsroom": "fedcba9876543210", "nightly-report": "00000000000000000000"}
# The last scrape, and the sum of the demand.
MARGIN = 3


class Measured:
    """The operator's panels, as Prometheus answers them."""

    def __init__(self, prometheus, variables, span):
        self.prometheus, self.variables, self.span = prometheus, variables, span

    def title(self, panel):
        return panel["title"]

    def lines(self, panel):
        """[(name, [(time, value)])] of all of a panel's queries."""
        lines = []
        for target in panel["targets"]:
            query = dashboards.expand(target["expr"], self.variables)
            for labels, points in self.prometheus.series(query, *self.span):
                lines.append((legend(target["legendFormat"], labels), points))
        return lines

    def rows(self, panel):
        (target,) = panel["targets"]
        found = self.prometheus.ask("query", query=dashboards.expand(target["expr"], self.variables))["result"]
        if panel["type"] == "bargauge":
            return [{"name": legend(target["legendFormat"], one["metric"]), "value": float(one["value"][1])} for one in found]
        kept = re.compile(panel["transformations"][0]["options"]["include"]["pattern"])
        rows = [{**one["metric"], "Value": float(one["value"][1])} for one in found]
        return [{name: row[name] for name in sorted(row, key=str.swapcase) if kept.match(name)} for row in rows]

    def alerts(self):
        found = self.prometheus.ask("alerts")["alerts"]
        return sorted((one["labels"]["alertname"], one["state"], one["labels"]["severity"]) for one in found)


class Reported:
    """The panels of a campaign, as Infinity answers them."""

    def __init__(self, clicks, span):
        self.clicks, self.span = clicks, span

    def title(self, panel):
        return dashboards.expand(panel["title"], self.clicks.variables)

    def rows(self, panel):
        return self.clicks.rows(panel)

    def lines(self, panel):
        return [(name, [(self.span[1], value)]) for row in self.rows(panel) for name, value in row.items()]


def legend(form, labels):
    return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match[1], ""), form).strip()


def dashboards_poll(proxy, token, stop, seed):
    """People look at a few campaigns often, and at many seldom, over a connection that they keep."""
    chance = random.Random(seed)
    connection = http.client.HTTPConnection(proxy.data.removeprefix("http://"))
    while not stop.is_set():
        activity = scenarios.cold(min(int(chance.expovariate(0.15)), 59))
        connection.request("GET", f"/v3/reports/email_reports/{activity}/links", headers={"Authorization": f"Bearer {token}"})
        connection.getresponse().read()
        stop.wait(chance.expovariate(7))


def newcomers(proxies, token, stop):
    """Two people open a new campaign at one time, at two replicas; one pastes a wrong id."""
    number = 1000
    headers = {"Authorization": f"Bearer {token}"}

    def ask(proxy, activity):
        observe.http("GET", f"{proxy.data}/v3/reports/email_reports/{activity}/links", headers=headers)

    while not stop.is_set():
        number += 1
        new = scenarios.cold(number)
        scenarios.in_parallel(2, *((ask, proxy, new) for proxy in proxies))
        ask(proxies[0], "ffffffff-ffff-4fff-8fff-ffffffffffff")
        stop.wait(2)


def weather(vendor, start):
    """Fair, then down, then slow, then fair."""
    for at, kind in ((0, "latency-120"), (90, "status-503"), (230, "latency-900"), (290, "latency-120")):
        time.sleep(max(0, start + at - time.time()))
        vendor.mend()
        vendor.fault(kind)
    time.sleep(max(0, start + SECONDS - time.time()))


def replicas(running, vendor, directory, binary):
    """Two of one fleet, with a store, and an API key's token between them."""
    store = incidents_fleet.Store(directory)
    running.callback(store.end)
    tokens, key = Path(directory) / "tokens", Path(directory) / "seal-key"
    tokens.write_text("".join(f"{name} {token}\n" for name, token in CLIENTS.items()))
    key.write_text("01" * 32)
    refresh_token = scenarios.consent(vendor.simulator())["refresh_token"]
    started = []
    for number in range(2):
        settings = {
            "circuit.open_min": "5s",
            "circuit.open_max": "10s",
            "cache.max_bytes": "1MiB",
            "cache.derive_clicked": "verify",
            "upstream.change_probe": "verify",
            "clients.tokens_file": tokens,
            "quota.per_day": 20_000,
            "shared.url": f"unix://{store.path}",
            "shared.namespace": "story",
            "shared.key_file": key,
            "shared.replicas": 2,
            "shared.timeout": "1s",
            "state.dir": f"{directory}/state-{number}",
        }
        started.append(scenarios.refresh(vendor.simulator(), refresh_token, directory, binary, settings))
        running.callback(started[-1].end)
    for proxy in started:
        wait_for("a token", lambda proxy=proxy: 'token_state{state="valid"} 1\n' in proxy.metrics(), seconds=60)
    return started


def main(binary, target):
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as running:
        vendor = scenarios.demo()(binary, directory)
        running.callback(vendor.end)
        proxies = replicas(running, vendor, directory, binary)
        scrapes = observe.scrapes({observe.job(STORY): [proxy.admin.removeprefix("http://") for proxy in proxies]})
        prometheus = Prometheus(directory, scrapes, slow_motion.RULES)
        running.callback(prometheus.end)
        start = time.time()
        people = [
            threading.Thread(target=dashboards_poll, args=(proxies[seed % 2], list(CLIENTS.values())[seed % 3], stop, seed))
            for seed in range(6)
        ]
        people.append(threading.Thread(target=newcomers, args=(proxies, CLIENTS["nightly-report"], stop)))
        for person in people:
            person.start()
        weather(vendor, start)
        span = (start + 10, start + SECONDS - MARGIN)
        variables = {**observe.variables(observe.job(STORY)), "__rate_interval": "12s", "__range": f"{SECONDS}s"}
        draw(dashboards.load("operator.json"), Measured(prometheus, variables, span), f"{target}/dashboard.png")
        stop.set()
        for person in people:
            person.join()
        shown = Clicks(proxies[0].data, proxies[0].admin, CLIENTS["sales"])
        # The first answer has been fetched when the admin port is asked how old it is.
        shown.rows(dashboards.panels(shown.dashboard)[0])
        draw(dashboards.load(DASHBOARD), Reported(shown, span), f"{target}/link-clicks.png")


main(*sys.argv[1:])
