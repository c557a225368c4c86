"""Nothing rings while all is well: at night, at a restart, with hardly any traffic, in the first hour of the day, in a week.

promtool evaluates the shipped rules over the series that a healthy proxy would show: one alone, three that share a store, and
fifty sidecars. No alert may fire at any time. A metric that an alert asks for and that is not here is a fault.

    quiet.py
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import yaml

from promql import selectors

RULES = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "link-report-proxy.rules.yml"
HOUR, DAY = 60, 24 * 60  # minutes, as all times here
KEY = 10_000


@dataclass(frozen=True)
class Form:
    """How the proxy is run."""

    name: str
    replicas: int
    shares_a_store: bool

    def limit(self):
        return KEY if self.shares_a_store else KEY // self.replicas


ALONE, FLEET, SIDECARS = Form("one alone", 1, False), Form("three with a store", 3, True), Form("fifty sidecars", 50, False)


@dataclass(frozen=True)
class Span:
    """A while of an ordinary life."""

    name: str
    begin: int  # of a day
    end: int
    step: int  # between scrapes
    load: Callable  # time -> requests a minute of all replicas
    restarts: Callable = lambda replica, time: False
    forms: tuple = (ALONE, FLEET)
    # Each so many scrapes.
    evaluated: int = 1


def office(time):
    """Dashboards of a working day, fewer at the weekend, none by night."""
    minute, day = time % DAY, time // DAY
    if not 6 * HOUR <= minute < 22 * HOUR:
        return 0
    busy = 40 if 8 * HOUR <= minute < 18 * HOUR else 8
    return busy if day % 7 < 5 else busy / 10


def rollout(replica, time):
    """One replica after the other, each for a step."""
    return time == 10 * HOUR + 30 + replica // 2


SPANS = [
    Span("a night, and the first looks of a morning", 4 * HOUR, 8 * HOUR, 1, office),
    Span("a rollout at a busy time", 10 * HOUR, 11 * HOUR + 30, 1, office, rollout, (ALONE, FLEET, SIDECARS)),
    Span("a look each quarter of an hour", 12 * HOUR, 15 * HOUR, 1, lambda time: 1 / 15),
    Span("the first hour of the day, in which all is read at once", 23 * HOUR, DAY + 2 * HOUR, 1,
         lambda time: 300 if DAY <= time < DAY + 5 else 20),
    Span("a week", 0, 7 * DAY, 5, office, lambda replica, time: time == 3 * DAY + 10 * HOUR + 15 * replica, (ALONE,), 2),
]


class Replica:
    """What one replica shows at /metrics, and Prometheus of it."""

    def __init__(self, form, number, begin):
        self.form, self.number, self.begin = form, number, begin
        self.revision = "a"
        self.token_renewed = begin - 6 * HOUR
        self.start(begin)

    def start(self, time):
        self.started, self.counted = time, {}

    def add(self, series, amount):
        self.counted[series] = self.counted.get(series, 0) + amount

    def lives(self, time, step, requests, day):
        """Some minutes: most requests are hits, one in two thousand fails, one in five hundred waits for long."""
        price = 2 + requests / 10
        for outcome, code, share in (("hit", 200, 0.9), ("stale", 200, 0.05), ("rationed", 200, 0.01), ("negative_hit", 404, 0.01),
                                     ("stale_if_error", 200, 0.005), ("miss", 200, 0.025), ("rejected", 400, 0.001)):
            self.add(f'requests_total{{outcome="{outcome}",code="{code}"}}', step * requests * share)
        self.add('requests_total{outcome="error",code="503"}', step * requests / 2000)
        for bound, share in (("2.5", 0.998), ("+Inf", 1)):
            self.add(f'request_duration_seconds_bucket{{outcome="miss",le="{bound}"}}', step * requests * share)
        self.add('request_duration_seconds_count{outcome="miss"}', step * requests)
        # Campaigns without clicks are hours old, and right.
        for bound, share in (("1200", 0.7), ("3600", 0.85), ("21600", 1), ("+Inf", 1)):
            self.add(f'cache_served_age_seconds_bucket{{le="{bound}"}}', step * requests * share)
        self.add("cache_served_age_seconds_count", step * requests)
        misses, refreshes = step * requests * 0.025, step * requests * 0.08
        for reason, code, calls in (("miss", "200", misses * 0.97), ("miss", "503", misses * 0.03), ("retry", "200", misses * 0.03),
                                    ("refresh", "200", refreshes), ("refresh", "invalid", 0)):
            self.add(f'upstream_requests_total{{reason="{reason}",code="{code}"}}', calls)
        day.use(misses * 1.03 + refreshes)
        for client, share in (("sales", 0.7), ("ops", 0.2), ("proxy", 0.1)):
            self.add(f'client_calls_total{{client="{client}"}}', (misses + refreshes) * share)
        for result, share in (("changed", 0.6), ("unchanged", 0.38), ("error", 0.02)):
            self.add(f'refreshes_total{{result="{result}"}}', refreshes * share)
        self.add("cache_answers_total", step * requests)
        self.add("cache_clicks_missed_total", step * requests * price / 20)
        for series in ('quota_denied_total{window="day"}', "probe_switched_off_total{reason=\"forbidden\"}",
                       'derivation_mismatches_total{reason="other_text"}', 'token_renewals_total{result="error"}',
                       'token_renewals_total{result="success"}', 'probe_verdicts_total{verdict="unmoved"}'):
            self.add(series, 0)
        # About each 19 hours, and at the second attempt.
        if time - self.token_renewed >= 0.8 * DAY:
            self.token_renewed = time
            self.add('token_renewals_total{result="error"}', 1)
            self.add('token_renewals_total{result="success"}', 1)
        return price

    def clock(self, time):
        """promtool's begins at 0."""
        return (time - self.begin) * 60

    def shows(self, time, price, day):
        limit = self.form.limit()
        used = round(day.used if self.form.shares_a_store else day.used / self.form.replicas)
        starts = time == self.started
        states = {"valid": not starts, "missing": starts, "expired": 0, "rejected": 0, "reauthorization_required": 0}
        modes = {"normal": price <= 5, "throttled": price > 5, "misses_only": 0, "exhausted": 0}
        yield from self.counted.items()
        yield from (
            (f'build_info{{version="0.1.0",revision="{self.revision}"}}', 1),
            ('circuit_state{state="open"}', 0),
            ("refresh_price", price),
            ('quota_limit{window="day"}', limit),
            ('quota_used{window="day"}', used),
            ('quota_remaining{window="day"}', limit - used),
            ("quota_reset_timestamp_seconds", self.clock((time // DAY + 1) * DAY)),
            ("quota_external_calls", 0),
            ('probe_status{state="trusted"}', 0),
            ("cache_unpaired_campaigns", 0),
            ("token_renewal_due_timestamp_seconds", self.clock(self.token_renewed + 0.8 * DAY)),
            ("token_refresh_token_volatile", 0),
            ("state_damaged_files", 0),
            ("state_durable", 1),
            ('secret_file_readable{key="clients.tokens_file"}', 1),
            ("config_reload_success", 1),
            ("upstream_clock_ahead_seconds", 0),
        )
        yield from ((f'token_state{{state="{state}"}}', int(here)) for state, here in states.items())
        yield from ((f'quota_mode{{mode="{mode}"}}', int(here)) for mode, here in modes.items())
        if self.form.shares_a_store:
            yield from (
                ("shared_up", int(not starts)),
                ("shared_forks_total", 0),
                ('shared_store_risk{risk="no_append_only_file"}', 0),
                ('shared_reports_refused_total{reason="invalid"}', 0),
                ("quota_offline_calls_total", 0),
                ("shared_replicas_seen", 0 if starts else self.form.replicas),
                ("shared_replicas_configured", self.form.replicas),
                ("shared_clock_skew_seconds", 0.02),
                ("token_store_behind", 0),
            )


class KeysDay:
    """The calls of the API key since midnight."""

    def __init__(self):
        self.day, self.used = None, 0

    def turn_to(self, day):
        if day != self.day:
            self.day, self.used = day, 0

    def use(self, calls):
        self.used += calls


def series_of(form, span):
    """{series: values}; `_`: not scraped."""
    replicas = [Replica(form, number, span.begin) for number in range(form.replicas)]
    day, found, steps = KeysDay(), {}, range(span.begin, span.end, span.step)
    for index, time in enumerate(steps):
        day.turn_to(time // DAY)
        for replica in replicas:
            target = f'namespace="web",job="web/link-report-proxy",pod="p-{replica.number}",instance="10.0.0.{replica.number + 1}:9090"'
            down = span.restarts(replica.number, time)
            shown = {f"up{{{target}}}": int(not down)}
            if down:
                replica.start(time + span.step)
                replica.revision = "b"
            else:
                price = replica.lives(time, span.step, span.load(time) / form.replicas, day)
                for name, value in replica.shows(time, price, day):
                    name, _, labels = name.partition("{")
                    shown[f"link_report_proxy_{name}{{{target}{',' + labels[:-1] if labels else ''}}}"] = value
                shown[f"process_start_time_seconds{{{target}}}"] = replica.clock(replica.started)
            for series, value in shown.items():
                found.setdefault(series, ["_"] * len(steps))[index] = f"{value:.10g}"
    return {series: compressed(values) for series, values in found.items()}


def compressed(values):
    """`1x3` is four times 1."""
    words, run = [], 0
    for at, value in enumerate(values):
        if at + 1 < len(values) and values[at + 1] == value:
            run += 1
        else:
            words.append(f"{value}x{run if value != '_' else run + 1}" if run else value)
            run = 0
    return " ".join(words)


def file_of(span):
    """As promtool reads it."""
    length = span.end - span.begin
    return {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{span.step * span.evaluated}m",
        "group_eval_order": [f"link-report-proxy-{group}" for group in ("objectives", "levels", "alerts")],
        "tests": [
            {
                "name": f"{form.name}: {span.name}",
                "interval": f"{span.step}m",
                "input_series": [{"series": series, "values": values} for series, values in series_of(form, span).items()],
                "promql_expr_test": [
                    {
                        "expr": f'count_over_time(ALERTS{{alertstate="firing"}}[{length}m])',
                        "eval_time": f"{length - span.step}m",
                        "exp_samples": [],
                    }
                ],
            }
            for form in span.forms
        ],
    }


def unfed(files):
    """Metrics that alerts ask for, and that no span has."""
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    asked = {selector.name for rule in rules for selector in selectors(rule["expr"])} - {rule.get("record") for rule in rules}
    fed = {one["series"].partition("{")[0] for file in files for test in file["tests"] for one in test["input_series"]}
    return sorted(asked - fed)


def main():
    files = [file_of(span) for span in SPANS]
    if missing := unfed(files):
        raise SystemExit(f"no span has {missing}")
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory) / f"{number}.yml" for number in range(len(files))]
        for path, content in zip(paths, files):
            path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper, width=1_000_000))
        done = subprocess.run(["promtool", "test", "rules", *paths], capture_output=True, text=True)
    print(done.stdout + done.stderr if done.returncode else f"{sum(len(file['tests']) for file in files)} spans of a healthy life, and no alert fires")
    sys.exit(done.returncode)


main()
