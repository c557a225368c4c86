"""Two replicas of the proxy at a steady rate of requests, with all that happens to them in a week, in minutes: memory, file
descriptors and threads stay as they are, no answer is wrong, no call too many, no token lost.

    soak.py MINUTES BINARY DIRECTORY [--rate N] [--seed N] [--leak]

Writes samples.csv, events.csv, soak.png, the logs and a summary into DIRECTORY. --leak keeps one connection more each half
second: such a run must fail.
"""

import argparse
import csv
import shutil
import sys
import threading
import time
from pathlib import Path

import world as worlds
from disturbances import Purges, Readers, Reloads, StoreRestarts, VendorFaults
from plot import draw
from processes import wait_for
from questions import activity, path
from samples import Samples
from verdicts import (
    WARM_UP,
    growth_faults,
    growths,
    log_faults,
    quota_faults,
    request_faults,
    token_faults,
)

WINDOW = 5
# Calls are four a second: of the warm-up, filling takes a half.
KEYS_A_MINUTE, MOST_KEYS = 24, 2_000


class Events:
    def __init__(self, path, began):
        self.path, self.began = path, began
        path.write_text("seconds,kind,what\n")

    def __call__(self, kind, what):
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow([round(time.monotonic() - self.began, 1), kind, what])


def disturbances(world, minutes, seed, told):
    """Each is met once before the warm-up ends, however short the run is."""
    seconds = minutes * 60
    return [
        VendorFaults(world, min(12, seconds / 90), seed, told),
        StoreRestarts(world, min(240, seconds / 8), seed, told),
        Reloads(world, min(60, seconds / 12), seed, told),
        Purges(world, 10, seed, told),
        Readers(world, 1, seed, told),
    ]


def sampled(samples, traffic, until, done=lambda _row: False):
    """Samples each window, until a moment or until it is done. Prints a line a minute."""
    while time.monotonic() < until:
        window = traffic.window()
        try:
            row = samples.take(window)
        except OSError as error:
            # No end of a long run, but a fault: the admin port has twenty seconds.
            print(f"no sample after {time.monotonic() - samples.began:.0f} s: {error!r}", flush=True)
            samples.missed += 1
            continue
        if len(samples.rows) % (60 // WINDOW) == 0:
            shown = "  ".join(f"{name} {row[name]}" for name in ("seconds", "sent", "held", "wrong", "calls", "hit_p99_ms"))
            rss = "  ".join(f"rss_{number} {row[f'rss_{number}'] / 2**20:.1f}" for number in range(worlds.REPLICAS))
            print(shown, rss, flush=True)
        for example in window["examples"][len(samples.examples) :]:
            print(f"wrong: {example}", flush=True)
        samples.examples = window["examples"]
        if done(row):
            return True
    return False


class Recovery(threading.Thread):
    """With nothing disturbed any more all is well, and a report that nobody holds is fetched by each replica."""

    def __init__(self, world, running):
        super().__init__(daemon=True)
        self.world, self.running, self.faults = world, running, []

    def run(self):
        try:
            for one in self.running:
                one.end()
            self.world.write_settings(worlds.settings(0))
            wait_for("all to be well again", self.world.all_well, seconds=180)
            for number, replica in enumerate(self.world.replicas):
                url = f"{replica.data}{path(activity(0x00D0_0000 + number, 3))}"
                # A Retry-After of the last faults holds for up to a minute (src/upstream/response.rs).
                wait_for(f"replica {number} to fetch", lambda: worlds.http("GET", url)[0] == 200, seconds=150)
        except (Exception, SystemExit) as error:  # told at the end
            self.faults.append(f"recovery: {error!r}")


def soak(world, options, place):
    seconds = options.minutes * 60
    traffic = worlds.TrafficProcess(
        {
            "ports": [int(replica.data.rsplit(":", 1)[1]) for replica in world.replicas],
            "rate": options.rate,
            "keys": int(min(MOST_KEYS, KEYS_A_MINUTE * options.minutes)),
            "seed": options.seed,
            "window": WINDOW,
            "leak": options.leak,
        },
        place,
    )
    samples = Samples(world, place / "samples.csv")
    told = Events(place / "events.csv", samples.began)
    end = time.monotonic() + seconds
    try:
        if not sampled(samples, traffic, samples.began + WARM_UP * seconds, lambda row: row["filled"] and row["held"]):
            yield f"the reports are not held by all replicas after the warm-up: {samples.rows[-1]['held']}"
        told("filled", samples.rows[-1]["held"])
        running = disturbances(world, options.minutes, options.seed, told)
        for one in running:
            one.start()
        sampled(samples, traffic, end)
        recovery = Recovery(world, running)
        recovery.start()
        sampled(samples, traffic, time.monotonic() + 500, lambda _row: not recovery.is_alive())
        for one in running:
            print(f"{type(one).__name__}: {one.done}")
            if not one.done:
                yield f"{type(one).__name__}: nothing was done"
        for one in (*running, recovery):
            yield from one.faults
    finally:
        traffic.end()
    yield from growth_faults(samples.rows, seconds, worlds.REPLICAS)
    yield from request_faults(samples.rows, seconds, options.rate, samples.examples)
    if samples.missed:
        yield f"{samples.missed} samples are missing: an admin port did not answer"
    yield from quota_faults(samples.rows)
    yield from token_faults(samples.rows, seconds, worlds.TOKEN_LIFETIME, worlds.REPLICAS)
    yield from log_faults(world.replicas)
    for name, growth, *_ in growths(samples.rows, seconds, worlds.REPLICAS):
        print(f"{name}: {growth}")
    print({name: value for name, value in samples.rows[-1].items() if not name.startswith("code_")})
    for code in sorted(name for name in samples.rows[0] if name.startswith("code_")):
        print(f"{code}: {sum(row[code] for row in samples.rows)}")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("minutes", type=float)
    arguments.add_argument("binary")
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("--rate", type=int, default=2_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--leak", action="store_true")
    options = arguments.parse_args()
    options.directory = options.directory.resolve()  # each program is in a directory of its own
    shutil.rmtree(options.directory, ignore_errors=True)
    options.directory.mkdir(parents=True)
    world = worlds.World(options.binary, options.directory)
    try:
        faults = list(soak(world, options, options.directory))
    finally:
        world.end()
    draw(options.directory / "samples.csv", options.directory / "events.csv", options.directory / "soak.png")
    for fault in faults:
        print(f"FAULT {fault}")
    print(f"a soak of {options.minutes:g} minutes: {len(faults)} faults")
    sys.exit(1 if faults else 0)


main()
