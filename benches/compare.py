#!/usr/bin/env python3
"""This proxy beside nginx, and beside the least that hyper allows, on one machine in interleaved rounds.

    OURS_BIN=target/release/link-report-proxy compare.py YARDSTICK OUT.json [ROUNDS]

YARDSTICK is the directory of the programs that make the load, play Constant Contact and start nginx; `wrk` is needed too (Debian).
plot.py makes the table and the plot of OUT.json. Server on core 0, load on core 1, but where nothing is pinned (see NOT_PINNED).
"""

import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

OURS, FLOOR = "ours", "floor-lean-tpc"
TARGETS = ["nginx", "nginx-copy", FLOOR, OURS]
SECONDS = 3
# How many keys there are, and how much memory they take at most.
GROWTH = {1: 64, 10: 64, 1_000: 64, 10_000: 192, 100_000: 512, 1_000_000: 2_048}
ENTRIES = 100_000
# On both cores, as in a Pod: memory, misses, start and the passing of the TTL.
NOT_PINNED = ("memory", "start", "expiry")
SCRIPT = """
local keys, headers = {keys}, {headers}
request = function()
  local key = math.random(0, keys - 1)
  return wrk.format("GET", string.format("/v3/reports/email_reports/%08x-0000-4000-8000-%012d/links", key, {links}), headers)
end
"""


def yardstick(place):
    loader = importlib.machinery.SourceFileLoader("yardstick", str(Path(place, "run")))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("yardstick", loader))
    loader.exec_module(module)
    return module


class Machine:
    def __init__(self, place):
        self.yard = yardstick(place)

    def cpu_of(self, bed, load):
        """The server's microseconds of CPU for each request that `load` makes, and what `load` says of itself."""
        before = self.yard.cpu(bed.t.pid)[0]
        count, said = load()
        return (self.yard.cpu(bed.t.pid)[0] - before) / count * 1e6, said

    def closed(self, bed, keys, **more):
        def load():
            said = self.yard.lg(bed.port, "closed", 1, secs=SECONDS, keys=keys, **more)
            assert said["ok"] == said["requests"], said
            return said["requests"], said

        return self.cpu_of(bed, load)

    def wrk(self, bed, keys, links, headers):
        """The same by wrk, which can send further headers."""
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(SCRIPT.format(keys=keys, headers=headers, links=links))
            script.flush()
            command = ["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{SECONDS}s", "-s", script.name, f"http://127.0.0.1:{bed.port}"]

            def load():
                said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                assert "Non-2xx" not in said, said
                return int(re.search(r"(\d+) requests in", said)[1]), said

            return self.cpu_of(bed, load)[0]

    def bed(self, name, keys, links, megabytes=192):
        return self.yard.Bed(name, cores=1, pin=True, links=links, keys=keys, cache_mb=megabytes)

    def filled(self, bed, keys, links):
        self.yard.lg(bed.port, "fill", 1, keys=keys, links=links, conns=32)
        return bed

    def hits(self, name, rate):
        """CPU and requests a second by size and number of keys, and the latency at a constant rate."""
        options = SimpleNamespace(secs=SECONDS, rate=rate)
        return self.yard.t_hit(name, options, latency=True)

    def not_modified(self):
        """CPU of a 304 against that of the whole report, 50 links."""
        found = {}
        with self.bed(OURS, 10_000, 50) as bed:
            self.filled(bed, 10_000, 50)
            for keys in (1, 10_000):
                whole = self.wrk(bed, keys, 50, "{}")
                found[str(keys)] = self.wrk(bed, keys, 50, '{["If-None-Match"] = "*"}') / whole
        return found

    def growth(self, name):
        found = {}
        for keys, megabytes in GROWTH.items():
            with self.bed(name, keys, 2, megabytes) as bed:
                if name == OURS:
                    self.filled(bed, keys, 2)
                self.closed(bed, keys, links=2)
                cpu, said = self.closed(bed, keys, links=2, seed=7)
                found[str(keys)] = {"cpu_us": cpu, "rps": said["rps"]}
        return found

    def one_connection(self, name):
        """One request at a time on one connection, both processes where the system puts them: a sidecar's life."""
        with self.yard.Bed(name, cores=1, links=2) as bed:
            self.filled(bed, 100, 2)
            self.yard.lg(bed.port, "closed", secs=1, keys=100, links=2, conns=1)
            return self.yard.lg(bed.port, "closed", secs=SECONDS, keys=100, links=2, conns=1)["us"]

    def half_of_the_most(self, name):
        with self.bed(name, 10_000, 2) as bed:
            self.filled(bed, 10_000, 2)
            return int(self.closed(bed, 10_000, links=2)[1]["rps"] / 2) // 500 * 500

    def round(self, rate):
        found = {"load": os.getloadavg()[0], "hits": {name: self.hits(name, rate) for name in TARGETS}}
        found["not_modified"] = self.not_modified()
        found["one_connection"] = {name: self.one_connection(name) for name in ("nginx", OURS)}
        for test in NOT_PINNED:
            measure, options = getattr(self.yard, f"t_{test}"), SimpleNamespace(entries=ENTRIES)
            found[test] = {name: measure(name, options) for name in ("nginx", OURS)}
        return found


def main(place, out, rounds="5"):
    machine = Machine(place)
    rate = machine.half_of_the_most("nginx")
    data = {"rate": rate, "seconds": SECONDS, "entries": ENTRIES, "rounds": []}
    for number in range(int(rounds)):
        data["rounds"].append(machine.round(rate))
        # Once is enough for a shape, and the last row of it takes most of a minute.
        if number == 0:
            data["growth"] = {name: machine.growth(name) for name in (FLOOR, OURS)}
        Path(out).write_text(json.dumps(data, indent=1) + "\n")
        print(f"round {number + 1} of {rounds}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
