#!/usr/bin/env python3
"""The table (on the terminal) and the plot of what compare.py has measured.

    plot.py OUT.json OUT.png [INSTRUCTIONS]

INSTRUCTIONS: what `cargo bench --bench instructions` printed, for the row that it measures. Needs matplotlib.
"""

import json
import re
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

INK, MUTED, BAD, GOOD = "#1f2933", "#9aa5b1", "#c4552d", "#2b6cb0"


@dataclass
class Row:
    """Something to be reached: `value` is the median over the rounds; the smaller the better, unless `larger`."""

    name: str
    value: float | None
    must: float
    goal: float
    larger: bool = False

    def reached(self, value):
        """How far `value` is on the way: 1 is what must be, more is better."""
        return value / self.must if self.larger else self.must / value

    def line(self):
        verdict = "goal" if self.reached(self.value) >= self.reached(self.goal) else "must" if self.reached(self.value) >= 1 else "no"
        return f"| {self.name} | {number(self.value)} | {number(self.must)} | {number(self.goal)} | {verdict} |"


class Measured:
    def __init__(self, data):
        self.data = data

    def median(self, of):
        return statistics.median(of(one) for one in self.data["rounds"])

    def hits(self, case):
        """Requests for a second of CPU, against the nginx that does better."""

        def ratio(one):
            per_core = lambda name: one["hits"][name][case]["rps_per_core_s"]
            return per_core("ours") / max(per_core("nginx"), per_core("nginx-copy"))

        return self.median(ratio)

    def against_floor(self, one):
        return one["hits"]["ours"]["small/10k"]["cpu_us"] / one["hits"]["floor-lean-tpc"]["small/10k"]["cpu_us"]

    def latency(self, one):
        return one["hits"]["ours"]["latency"]["p99"] / min(one["hits"][name]["latency"]["p99"] for name in ("nginx", "nginx-copy"))

    def rows(self, over_hyper):
        ours = lambda test, key: self.median(lambda one: one[test]["ours"][key])
        yield Row("hits per core against nginx, 2 links, 1 key", self.hits("small/1key"), 1.45, 1.60, larger=True)
        yield Row("the same, 10,000 keys", self.hits("small/10k"), 1.85, 2.10, larger=True)
        yield Row("the same, 50 links, 1 key", self.hits("links50/1key"), 1.50, 1.70, larger=True)
        yield Row("the same, 50 links, 10,000 keys", self.hits("links50/10k"), 1.60, 1.85, larger=True)
        if over_hyper is not None:
            yield Row("instructions of a hit over bare hyper", over_hyper, 1.10, 1.06)
        yield Row("CPU of a hit over the leanest hyper, 10,000 keys", self.median(self.against_floor), 1.03, 0.98)
        yield Row("CPU of a 304 over the whole report, 50 links, 1 key", self.median(lambda one: one["not_modified"]["1"]), 0.80, 0.70)
        yield Row("the same, 10,000 keys", self.median(lambda one: one["not_modified"]["10000"]), 0.70, 0.65)
        yield Row("p99 over nginx's, at half of its most", self.median(self.latency), 0.12, 0.05)
        yield Row(f"bytes an entry, body of {self.data['rounds'][0]['memory']['ours']['body']:,}", ours("memory", "bytes_per_entry"), 2_450, 2_250)
        misses = self.median(lambda one: one["memory"]["ours"]["fill_rps"] / one["memory"]["nginx"]["fill_rps"])
        yield Row("distinct misses a second against nginx", misses, 1.0, 1.15, larger=True)
        yield Row("idle, MiB", ours("start", "idle_mib"), 7, 6)
        yield Row("exec to the first 200, ms", ours("start", "first_200_ms"), 6, 5)
        yield Row("TTL passing under load: worst answer, ms", ours("expiry", "max_ms"), 5, 3)
        alone = self.median(lambda one: one["one_connection"]["ours"]["p50"] / one["one_connection"]["nginx"]["p50"])
        yield Row("one connection: p50 over nginx's", alone, 0.9, 0.8)


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def instructions(said):
    """A hit under the plan over hyper with as many headers."""
    count = {name: int(found) for name, found in re.findall(r"^\s*(.*): (\d+) instructions$", said, re.MULTILINE)}
    return count["hit, 1 key"] / count["hyper alone"]


def draw(rows, growth, out):
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 5.2), width_ratios=(3, 2), layout="constrained")
    for at, row in enumerate(reversed(rows)):
        now, goal = row.reached(row.value), row.reached(row.goal)
        left.hlines(at, 1, now, color=GOOD if now >= 1 else BAD, linewidth=2)
        left.plot(now, at, "o", color=GOOD if now >= 1 else BAD)
        left.plot(goal, at, "|", color=INK, markersize=11, markeredgewidth=2)
        left.annotate(number(row.value), (now, at), (0, 6), textcoords="offset points", ha="center", fontsize=7, color=INK)
    left.axvline(1, color=MUTED, linewidth=1)
    left.set_yticks(range(len(rows)), [row.name for row in reversed(rows)], fontsize=8)
    left.set_ylim(-0.6, len(rows) - 0.2)
    left.set_xlabel("times what must be reached (line: must; tick: goal)")
    for name, label, color in (("ours", "link-report-proxy", GOOD), ("floor-lean-tpc", "hyper, a map and three headers", MUTED)):
        keys = [int(one) for one in growth[name]]
        right.plot(keys, [one["cpu_us"] for one in growth[name].values()], "o-", color=color, label=label)
    right.set_xscale("log")
    right.set_ylim(bottom=0)
    right.set_xlabel("reports in memory, all asked for alike")
    right.set_ylabel("CPU of a hit, µs, kernel included")
    right.legend(frameon=False, loc="lower right", fontsize=8)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=110)


def main(data, out, said=None):
    measured = Measured(json.loads(Path(data).read_text()))
    rows = list(measured.rows(instructions(Path(said).read_text()) if said else None))
    print("| | measured | must | goal | reached |\n|---|---|---|---|---|")
    print("\n".join(row.line() for row in rows))
    draw(rows, measured.data["growth"], out)


if __name__ == "__main__":
    main(*sys.argv[1:])
