"""Draws the operator's dashboard from a few minutes of a real run, by the dashboard's own queries and layout.

    picture.py BINARY deploy/grafana/dashboard.png
"""

import http.client
import random
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import matplotlib

import dashboards
import observe
import scenarios
import slow_motion
from alerting import Prometheus
from drawing import draw

matplotlib.use("Agg")

# The plan sums the demand for the first time after five minutes, and then changes its price each minute.
SECONDS = 330
STORY = SimpleNamespace(name="story")
ROWS = ("At a glance", "Traffic and errors", "Latency", "Cache", "Refresh plan", "Quota", "Upstream")


def dashboards_poll(proxy, stop, seed):
    """People look at a few campaigns often, and at many seldom, over a connection that they keep."""
    chance = random.Random(seed)
    connection = http.client.HTTPConnection(proxy.data.removeprefix("http://"))
    while not stop.is_set():
        activity = scenarios.cold(min(int(chance.expovariate(0.15)), 59))
        connection.request("GET", f"/v3/reports/email_reports/{activity}/links")
        connection.getresponse().read()
        stop.wait(chance.expovariate(9))


def newcomers(proxy, stop):
    """Two people open a new campaign at one time; one pastes a wrong id."""
    number = 1000
    while not stop.is_set():
        number += 1
        new = scenarios.cold(number)
        scenarios.in_parallel(2, (proxy.report, new), (proxy.report, new))
        proxy.report("ffffffff-ffff-4fff-8fff-ffffffffffff")
        stop.wait(2)


def weather(vendor, start):
    """Fair, then down, then slow, then fair."""
    for at, kind in ((0, "latency-120"), (90, "status-503"), (150, "latency-900"), (200, "latency-120")):
        time.sleep(max(0, start + at - time.time()))
        vendor.mend()
        vendor.fault(kind)
    time.sleep(max(0, start + SECONDS - time.time()))


def main(binary, target):
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as running:
        vendor = scenarios.demo()(binary, directory)
        running.callback(vendor.end)
        settings = {
            "circuit.open_min": "5s",
            "circuit.open_max": "10s",
            "state.dir": f"{directory}/state",
        }
        token = scenarios.consent(vendor.simulator())["refresh_token"]
        proxy = scenarios.refresh(vendor.simulator(), token, directory, binary, settings)
        running.callback(proxy.end)
        scrapes = observe.scrapes({observe.job(STORY): [proxy.admin.removeprefix("http://")]})
        prometheus = Prometheus(directory, scrapes, slow_motion.RULES)
        running.callback(prometheus.end)
        start = time.time()
        people = [threading.Thread(target=dashboards_poll, args=(proxy, stop, seed)) for seed in range(6)]
        people.append(threading.Thread(target=newcomers, args=(proxy, stop)))
        for person in people:
            person.start()
        weather(vendor, start)
        stop.set()
        for person in people:
            person.join()
        variables = {**observe.variables(observe.job(STORY)), "__rate_interval": "12s"}
        draw(dashboards.load("operator.json"), ROWS, prometheus, variables, (start + 10, start + SECONDS), target)


main(*sys.argv[1:])
