"""Gives alerts to a real Alertmanager, with the shipped example's routes, and counts for what it calls anybody.

A minute lasts three quarters of a second: of the example only the waiting times are changed, and whom its receivers call.
"""

import datetime
import json
import time
import urllib.request
from dataclasses import dataclass

import yaml

import slow_motion
from alerting import Alertmanager, Pager

ROUTES = slow_motion.PROMETHEUS / "alertmanager.example.yml"
# Seconds.
MINUTE = 0.75
UNITS = {"s": 1 / 60, "m": 1, "h": 60, "d": 1440}
WAITS = ("group_wait", "group_interval", "repeat_interval")


@dataclass(frozen=True)
class Ring:
    """A call: in which minute, to whom, and of which alerts."""

    minute: float
    receiver: str
    alerts: tuple


def faster(duration):
    return f"{round(int(duration[:-1]) * UNITS[duration[-1]] * MINUTE * 1000)}ms"


def routes(pager):
    def route(one):
        times = {key: faster(one[key]) for key in WAITS if key in one}
        return {**one, **times, **({"routes": [route(child) for child in one["routes"]]} if "routes" in one else {})}

    example = yaml.safe_load(ROUTES.read_text())
    called = {"webhook_configs": [{"url": pager, "send_resolved": False}]}
    # One that calls nobody in the example calls nobody here.
    receivers = [{"name": one["name"], **(called if len(one) > 1 else {})} for one in example["receivers"]]
    shown = {key: example[key] for key in ("inhibit_rules", "mute_time_intervals", "time_intervals") if key in example}
    return {**shown, "route": route(example["route"]), "receivers": receivers}


def told(fired, at, ends):
    rule = slow_motion.alerts()[fired.alert]
    stamp = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).isoformat()
    end = datetime.datetime.fromtimestamp(ends, datetime.timezone.utc).isoformat()
    labels = {**dict(fired.labels), "alertname": fired.alert}
    return {"labels": labels, "annotations": rule["annotations"], "startsAt": stamp, "endsAt": end}


def rings(directory, fired):
    """{job: [Ring]} of alerts that fire in these minutes."""
    pager = Pager()
    alertmanager = Alertmanager(directory, routes(pager.url))
    try:
        ends = [(one.last + 1, 0, one) for one in fired if one.last is not None]
        changes = sorted([(one.first, 1, one) for one in fired] + ends, key=lambda change: change[:2])
        first, start = changes[0][0], time.time()
        began = {}
        for minute, begins, one in changes:
            time.sleep(max(0, start + (minute - first) * MINUTE - time.time()))
            now = time.time()
            # Long after the end of the test, or now.
            began[one] = began.get(one, now)
            body = json.dumps([told(one, began[one], now + 3600 if begins else now)]).encode()
            request = urllib.request.Request(f"{alertmanager.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
            urllib.request.urlopen(request).read()
        # Whatever is told late.
        time.sleep(12 * MINUTE)
    finally:
        alertmanager.end()
        pager.end()
    found = {}
    for call in pager.calls:
        ring = Ring(first + (call.at - start) / MINUTE, call.receiver, call.alerts)
        for job in {alert["labels"].get("job", "") for alert in call.alerts}:
            found.setdefault(job, []).append(ring)
    return found
