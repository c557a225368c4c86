"""Plays a recording of a minute again as an hour, and longer, and says which alerts fire when: by the shipped rules, as
Prometheus evaluates them (its own engine, in promtool), in minutes that do not depend on how busy this machine is.

What was recorded in a second fills a minute, and what counts in seconds is stretched alike: times, and the age of reports.
How long a request takes is not. After the end all goes on as in the last seconds. A job of one replica is played as it was
recorded; one of fifty as copies that share its traffic and the key's day, each other minute only.
"""

import itertools
import json
import math
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from promql import MATCHER, selectors

PROMETHEUS = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"
RULES = PROMETHEUS / "link-report-proxy.rules.yml"
STRETCHED = 60
# Minutes before the recording, so that times before it can be told.
BEFORE = 10
REPLICAS = 50
# Minutes between two samples: a busy machine has not all day for fifty.
EACH = {"one": 1, "fifty": 2}
COUNTERS = ("_total", "_bucket", "_count", "_sum")
TIMES = ("_timestamp_seconds", "_start_time_seconds")
AGES = "link_report_proxy_cache_served_age_seconds_bucket"
DAY = {"link_report_proxy_quota_limit", "link_report_proxy_quota_remaining", "link_report_proxy_quota_used"}
FOUND = re.compile(r"(\{[^{}]*\}) (\S+?)(?=, \{|$)")


@dataclass(frozen=True)
class Fired:
    """An alert, and the minutes of the recording between which it fires; no last one: it fires in the end."""

    labels: tuple  # of (name, value), without the alert's own name
    alert: str
    first: int
    last: int | None

    @property
    def job(self):
        return dict(self.labels).get("job", "")


def rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts():
    """{name: rule}"""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def asked_for():
    """{metric: the bounds that are asked for; none: all}, of the rules."""
    bounds = {}
    for rule in rules():
        for selector in selectors(rule["expr"]):
            if ":" not in selector.name:
                found = {value for label, _, value in selector.matchers if label == "le"}
                known = bounds.setdefault(selector.name, found)
                bounds[selector.name] = known | found if known and found else set()
    return bounds


def record(prometheus, job, start, end):
    """[(labels, one value a second, None where there is none)] of what the rules ask for."""
    bounds = asked_for()
    found = prometheus.series(f'{{job="{job}",__name__=~"{"|".join(bounds)}"}}', start, end)
    recorded = []
    for labels, points in found:
        wanted = bounds[labels["__name__"]]
        if not wanted or labels.get("le") in wanted:
            values = dict((round(at - start), value) for at, value in points if math.isfinite(value))
            recorded.append((labels, [values.get(second) for second in range(int(end - start) + 1)]))
    alive = {labels["instance"] for labels, values in recorded if labels["__name__"] == "up" and 1 in values}
    return [(labels, held(labels, values) if labels["instance"] in alive else values) for labels, values in recorded]


def held(labels, values):
    """Without the scrapes that a busy machine has missed: a replica that answers at all is up from its first answer on."""
    if labels["__name__"] == "up":
        values = [value or None for value in values]
    return list(itertools.accumulate(values, lambda last, value: last if value is None else value))


def stretched(labels, values, start):
    name = labels["__name__"]
    if name.endswith(TIMES):
        values = [value and (value - start + BEFORE) * STRETCHED for value in values]
    if name == AGES and labels["le"] != "+Inf":
        labels = {**labels, "le": f"{float(labels['le']) * STRETCHED:g}"}
    return labels, values


def continued(name, values, minutes):
    last = values[-1]
    pace = 0
    recent = values[-20:]
    if name.endswith(COUNTERS) and None not in recent and recent == sorted(recent):
        pace = (recent[-1] - recent[0]) / (len(recent) - 1)
    return [*values, *(last if last is None else last + pace * minute for minute in range(1, minutes + 1))]


def notation(values, each):
    """As promtool has it: 5 5 5 7 9 as 5+0x2 7+2x1."""
    parts, at, values = [f"_x{BEFORE // each}"], 0, values[::each]
    while at < len(values):
        if values[at] is None:
            ends = at > 0 and values[at - 1] is not None
            parts.append("stale" if ends else "_")
            at += 1
            continue
        first, steps = values[at], 0
        following = values[at + 1] if at + 1 < len(values) else None
        step = 0 if following is None else round(following - first, 9)
        while at + steps + 1 < len(values) and values[at + steps + 1] == first + step * (steps + 1):
            steps += 1
        parts.append(f"{first:.17g}{step:+.17g}x{steps}")
        at += steps + 1
    return " ".join(parts)


def series(labels, values, each):
    name = labels["__name__"]
    shown = ",".join(f"{label}={json.dumps(value)}" for label, value in labels.items() if label != "__name__")
    return {"series": f"{name}{{{shown}}}", "values": notation(values, each)}


def telling(recording):
    """Without the counters that count nothing, the states that nothing is in, and the second's calls, which no rule is about."""

    def of_what(labels):
        """The same for all buckets of a histogram, and its count."""
        family = re.sub("_(bucket|count|sum)$", "", labels["__name__"])
        return family, *sorted(pair for pair in labels.items() if pair[0] not in ("__name__", "le"))

    counts = {of_what(labels) for labels, values in recording if len({*values} - {None}) > 1}

    def tells(labels, values):
        if labels["__name__"].endswith(COUNTERS):
            return of_what(labels) in counts
        if labels.get("window") == "second":
            return False
        return {*values} - {None} != {0} or not labels.keys() & {"state", "mode"}

    return [(labels, values) for labels, values in recording if tells(labels, values)]


def of_one(recording, start, lasts):
    for labels, values in telling(recording):
        labels, values = stretched(labels, values, start)
        yield series(labels, continued(labels["__name__"], values, lasts), EACH["one"])


def of_fifty(recording, start, lasts, job):
    """Copies, in turn, of the replicas that were recorded. How old answers are is not among it: a sixth of all."""
    replicas = sorted({labels["instance"] for labels, _ in recording})
    stored = any(labels["__name__"] == "link_report_proxy_shared_up" for labels, _ in recording)
    for labels, values in telling(recording):
        name = labels["__name__"]
        if name == AGES:
            continue
        labels, values = stretched(labels, values, start)
        if name.endswith(COUNTERS) or (name in DAY and labels["window"] == "day" and not stored):
            values = [value and value * len(replicas) / REPLICAS for value in values]
        values = continued(name, values, lasts)
        for pod in range(REPLICAS):
            if pod % len(replicas) == replicas.index(labels["instance"]):
                own = {"cluster": "east", "namespace": job.split("/")[0], "job": job, "pod": f"p-{pod}", "instance": f"10.0.0.{pod}:9090"}
                yield series({**labels, **own}, values, EACH["fifty"])


def played(directory, name, input_series, minutes, each):
    """What fires."""
    end = BEFORE + minutes
    # Of a job that is well: the rules see that there is one at all before the recording begins.
    input_series = [*input_series, {"series": 'up{job="another-link-report-proxy"}', "values": f"1x{end // each}"}]
    fires = f'timestamp(ALERTS{{alertstate="firing"}})[{end}m:{each}m]'
    # promtool has no way to ask: what it says of a wrong expectation is the answer.
    asked = [
        {"expr": f"{which}_over_time({fires})", "eval_time": f"{end}m", "exp_samples": [{"labels": "{}", "value": -1}]}
        for which in ("min", "max")
    ]
    path = Path(directory) / f"{name}.test.yml"
    groups = [group["name"] for group in yaml.safe_load(RULES.read_text())["groups"]]
    tests = [{"interval": f"{each}m", "input_series": input_series, "promql_expr_test": asked}]
    test = {"rule_files": [str(RULES)], "evaluation_interval": f"{each}m", "group_eval_order": groups, "tests": tests}
    # JSON is YAML.
    path.write_text(json.dumps(test))
    said = subprocess.run(["promtool", "test", "rules", str(path)], capture_output=True, text=True)
    answers = re.findall(r"^\s+got: (.*)$", said.stderr, re.MULTILINE)
    if len(answers) != len(asked):
        raise AssertionError(f"promtool says of {name}: {said.stdout[-2000:]} {said.stderr[-2000:]}")
    first, last = ({key: round(float(at) / 60) - BEFORE for key, at in FOUND.findall(answer)} for answer in answers)
    found = []
    for key in first:
        labels = {label: value for label, _, value in MATCHER.findall(key)}
        alert = labels.pop("alertname")
        labels.pop("alertstate")
        ends = last[key] if last[key] + each < minutes else None
        found.append(Fired(tuple(sorted(labels.items())), alert, first[key], ends))
    return found
