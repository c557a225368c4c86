"""Real Prometheus scrapes real proxies in fair and foul weather, with the shipped rules loaded. Then: every panel's query has
data, and never a NaN, and every incident has raised the alerts that it must, and none other.

What was scraped is played again in slow motion, at one replica and at fifty, and what fires there is given to a real
Alertmanager with the shipped example's routes: each incident rings once, in time, with a section of the runbook.

    observe.py BINARY
"""

import datetime
import math
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import dashboards
import incidents
import incidents_fleet
import incidents_pod
import paging
import slow_motion
from alerting import Prometheus
from scenarios import Running

# Of recording. What takes longer than these many minutes is raised when they are played on.
SECONDS = 60
SIZES = ("one", "fifty")


def job(scenario, size="one"):
    return f"{size}/link-report-proxy-{scenario.name}"


def variables(jobs="|".join(job(scenario) for scenario in incidents.ALL)):
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


def scrapes(jobs):
    """{job: addresses of its replicas} as scrape_configs."""
    return [
        {
            "job_name": name,
            "static_configs": [
                {"targets": [address], "labels": {"namespace": name.split("/")[0], "pod": f"{name.split('/')[1]}-{pod}"}}
                for pod, address in enumerate(addresses)
            ],
        }
        for name, addresses in jobs.items()
    ]


def panel_faults(prometheus, start, end):
    """Every query has data in some weather, and tells no NaN in any: not either where nobody asks for anything."""
    for title, targets in dashboards.queries(dashboards.load("operator.json")):
        for target in targets:
            query = dashboards.expand(target["expr"], variables())
            # What has not happened is hidden, but counted.
            if not prometheus.series(query.removesuffix(" > 0"), start, end):
                yield f"{title}: no data: {query}"
            for query in (query, dashboards.expand(target["expr"], variables(job(incidents_pod.IDLE)))):
                points = [point for _, points in prometheus.series(query, start, end) for point in points]
                if not all(math.isfinite(value) for _, value in points):
                    yield f"{title}: is no number: {query}"


def count_faults(prometheus):
    """What replicas of a fleet all tell counts once; what pods tell that share nothing is added up."""
    titled = dict(dashboards.queries(dashboards.load("operator.json")))
    quota = next(target for target in titled["Day's calls"] if target["legendFormat"].startswith("quota"))
    for name, expected in ((job(incidents_pod.IDLE), 2 * incidents_pod.SHARE), (job(incidents_fleet.FLEET), incidents_fleet.PER_DAY)):
        found = prometheus.value(dashboards.expand(quota["expr"], variables(name)))
        if found != expected:
            yield f"Day's calls: a quota of {found:.0f} for {name}, not of {expected}"


def alert_faults(raised):
    for scenario in incidents.ALL:
        got = raised.pop(job(scenario), set())
        for missing in sorted(scenario.alerts - got):
            yield f"{scenario.name}: {missing} is not raised"
        for strange in sorted(got - scenario.alerts - scenario.possible):
            yield f"{scenario.name}: {strange} is raised"
    for other, got in raised.items():
        yield f"{other or 'no job'}: {sorted(got)} raised"


def ring_faults(life, size, fired, rings, fault):
    """`fault`: the minute in which it began."""
    scenario, where = life.scenario, f"{life.scenario.name} at {size}"
    for strange in sorted({one.alert for one in fired} - scenario.alerts - scenario.possible):
        yield f"{where}: {strange} fires"
    called = [{alert["labels"]["alertname"] for alert in ring.alerts} for ring in rings]
    expected = [{incidents.name(short)} for short in (scenario.rings, scenario.rings_later) if short]
    if called != expected:
        yield f"{where}: rings for {called}, and not for {expected}"
        return
    for ring, (alert,) in zip(rings, called):
        worth_it = min(one.first for one in fired if one.alert == alert)
        if ring.minute - worth_it > incidents.LATEST:
            yield f"{where}: {alert} rings {ring.minute - worth_it:.0f} minutes after it is worth it"
        if alert == incidents.name(scenario.rings) and ring.minute - fault > scenario.within:
            yield f"{where}: {alert} rings {ring.minute - fault:.0f} minutes after the fault, and not within {scenario.within}"
        urls = {told["annotations"]["runbook_url"] for told in ring.alerts}
        if not all(url.endswith(f".md#{alert.lower()}") for url in urls):
            yield f"{where}: calls with {urls}"


def told(rings, fault):
    """For a person who reads the log of a test."""
    calls = [(", ".join(sorted(alert["labels"]["alertname"] for alert in ring.alerts)), ring) for ring in rings]
    return "; ".join(f"{names} to {ring.receiver} after {ring.minute - fault:.0f} min" for names, ring in calls) or "rings nobody"


def not_over_midnight():
    """The day's quota begins anew at 00:00 UTC, and there are no alerts of a day that is over."""
    now = datetime.datetime.now(datetime.timezone.utc)
    left = 86_400 - (now.hour * 3600 + now.minute * 60 + now.second)
    if left < 400:
        print(f"waits {left} s for the day to end")
        time.sleep(left + 1)


def played(directory, recordings):
    """What fires, of `recordings`: {life: (when it began, its series)}."""

    def play(name, size, lives):
        series, lasts = [], max(life.scenario.lasts for life in lives)
        for life in lives:
            start, recording = recordings[life]
            if size == "one":
                series.extend(slow_motion.of_one(recording, start, lasts))
            else:
                series.extend(slow_motion.of_fifty(recording, start, lasts, job(life.scenario, size)))
        seconds = max(len(recordings[life][1][0][1]) for life in lives)
        return slow_motion.played(directory, name, series, seconds + lasts, slow_motion.EACH[size])

    # Those that are over soon apart from the others, since each minute costs; in halves, since there are two of us.
    by_length = sorted(recordings, key=lambda life: life.scenario.lasts)
    soon = [life for life in by_length if life.scenario.lasts == by_length[0].scenario.lasts]
    parts = [soon[::2], soon[1::2], by_length[len(soon) :]]
    batches = [(f"{size}-{number}", size, lives) for size in reversed(SIZES) for number, lives in enumerate(parts) if lives]
    with ThreadPoolExecutor(2) as pool:
        return [one for found in pool.map(lambda batch: play(*batch), batches) for one in found]


def main(binary):
    not_over_midnight()
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as running:
        with ThreadPoolExecutor(4) as pool:
            lives = list(pool.map(lambda one: Running(one, binary, directory, stop), incidents.ALL))
        for life in lives:
            running.callback(life.end)
        targets = {job(life.scenario): [admin.removeprefix("http://") for admin in life.admins] for life in lives}
        prometheus = Prometheus(directory, scrapes(targets), slow_motion.RULES)
        running.callback(prometheus.end)
        start = time.time()
        for life in lives:
            life.begin()
        time.sleep(SECONDS)
        end = time.time()
        faults = [*panel_faults(prometheus, start, end), *count_faults(prometheus)]
        raised = prometheus.alerts()
        recordings = {life: (start, slow_motion.record(prometheus, job(life.scenario), start, end)) for life in lives}
        prometheus.end()
        print(f"observed {len(lives)} scenarios for {end - start:.0f} s")
        stop.set()
        for life in lives:
            life.thread.join()
            if life.error:
                faults.append(f"{life.scenario.name}: {life.error!r}")
        fired = played(directory, recordings)
        # What takes longer is raised when it is played.
        for one in fired:
            raised.setdefault(one.job, set()).add(one.alert)
        faults.extend(alert_faults({name: got for name, got in raised.items() if not name.startswith("fifty/")}))
        rings = paging.rings(directory, fired)
        for life in lives:
            fault = life.story.fault_at - start
            for size in SIZES:
                name = job(life.scenario, size)
                found, rang = [one for one in fired if one.job == name], rings.get(name, [])
                print(f"{life.scenario.name}, {size}: {told(rang, fault)}")
                faults.extend(ring_faults(life, size, found, rang, fault))
    if incidents.TABLE.read_text() != incidents.table():
        faults.append("the table of incidents is another: tests/deploy/incidents.py --write")
    for fault in faults:
        print(fault)
    if not faults:
        print(f"{len(incidents.ALL)} scenarios, each at one and at {slow_motion.REPLICAS} replicas; every panel has data, and none a NaN")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
