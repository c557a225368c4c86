"""Asks at a steady rate whatever the answers take (open loop), and judges each answer. A line of JSON each window, until
standard input is closed.

    traffic.py '{"ports": [8080, 8081], "rate": 2000, "keys": 1800, "seed": 1, "window": 5, "leak": false}'
"""

import asyncio
import json
import random
import sys
import threading
import time

from connections import Pool, Tally
from questions import Questions
from rude import Rude, leak

TICK = 0.004
# What the client cannot send in time, since it had no turn on the machine, is left out and counted: it would come as a burst.
LATEST = 1.0
# Reports that are asked for and not yet held.
COMING = 24


class Filling:
    """Reports are asked of every replica until all hold them; only then are they drawn."""

    def __init__(self, questions, pools):
        self.questions, self.pools = questions, pools
        self.all_asked = False
        self.missing = {}  # id of a report: (report, the replicas that do not hold it)

    def heard(self, replica, question, status):
        if status != 200 or not question.report or id(question.report) not in self.missing:
            return
        report, replicas = self.missing[id(question.report)]
        replicas.discard(replica)
        if not replicas:
            del self.missing[id(report)]
            self.questions.held.append(report)

    async def run(self):
        """Each asks again once a second: calls are four a second for all."""
        while True:
            while len(self.missing) < COMING and not self.all_asked:
                reports = self.questions.next_activity()
                self.all_asked = not reports
                for report in reports:
                    self.missing[id(report)] = (report, set(range(len(self.pools))))
            for report, replicas in list(self.missing.values()):
                for replica in replicas:
                    self.pools[replica].ask(report.first, time.monotonic())
            await asyncio.sleep(1)


def at(sorted_values, share):
    return round(sorted_values[int(share * (len(sorted_values) - 1))] * 1000, 3) if sorted_values else 0


class Traffic:
    def __init__(self, told):
        self.rate, self.window = told["rate"], told["window"]
        self.tally = Tally()
        self.pools = [Pool(number, port, self.tally) for number, port in enumerate(told["ports"])]
        self.questions = Questions(told["keys"], len(self.pools), told["seed"])
        self.filling = Filling(self.questions, self.pools)
        for pool in self.pools:
            pool.heard = self.filling.heard
        self.rude = Rude(told["ports"], random.Random(told["seed"]), self.tally)
        self.leaks, self.asked, self.sent = told["leak"], 0, 0

    async def run(self, stopped):
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(one) for one in (self.filling.run(), self._look_each_window(), self._sweep())]
        tasks += self.rude.start(loop)
        if self.leaks:
            tasks.append(loop.create_task(leak(self.pools[0].port, 0.5)))
        while not self.questions.held:
            await asyncio.sleep(TICK)
        began = time.monotonic()
        while not stopped.is_set():
            self._ask_what_is_due(began)
            await asyncio.sleep(TICK)
            for task in tasks:
                if task.done():
                    task.result()  # it never ends by itself

    def _ask_what_is_due(self, began):
        now = time.monotonic()
        due = int((now - began) * self.rate)
        while self.asked < due:
            pool, at_time = self.pools[self.asked % len(self.pools)], began + self.asked / self.rate
            self.asked += 1
            if now - at_time > LATEST or len(pool.waiting) > LATEST * self.rate / len(self.pools):
                continue
            self.sent += 1
            pool.ask(self.questions.draw(pool.number), at_time)

    async def _sweep(self):
        while True:
            await asyncio.sleep(1)
            for pool in self.pools:
                pool.sweep()

    async def _look_each_window(self):
        while True:
            await asyncio.sleep(self.window)
            tally = self.tally
            latencies, lags = sorted(tally.latencies), sorted(tally.lags)
            print(
                json.dumps(
                    {
                        "sent": self.sent,
                        "codes": tally.codes,
                        "hit_p50_ms": at(latencies, 0.5),
                        "hit_p99_ms": at(latencies, 0.99),
                        "hit_max_ms": at(latencies, 1),
                        "lag_p99_ms": at(lags, 0.99),
                        **{f"client_connections_{pool.number}": len(pool.all) for pool in self.pools},
                        "held": len(self.questions.held),
                        "filled": self.filling.all_asked and not self.filling.missing,
                        "rude": self.rude.done,
                        "wrong": tally.wrong,
                        "examples": tally.examples,
                    }
                ),
                flush=True,
            )
            tally.clear()


def main(told):
    stopped = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopped.set()), daemon=True).start()
    asyncio.run(Traffic(json.loads(told)).run(stopped))


main(*sys.argv[1:])
