"""What happens to the proxies meanwhile, each in a thread of its own, by a seed: faults of the vendor, restarts of the store,
reloads, purges, and people and programs that look at the admin port."""

import json
import random
import signal
import threading
import time

import world as worlds
from processes import http
from questions import kept_activity, purged_activities

# All of `GET /_simulator/` but quota-exceeded, after which no call is made for an hour.
KINDS = (
    "latency-800", "hang", "status-500", "status-503", "status-503-array", "status-503-gateway", "status-401", "status-403",
    "throttled", "retry-after-86400", "reset", "truncate", "html", "not-an-object", "wrong-id", "no-array", "drip-50", "huge",
    "gzip", "gzip-bomb", "redirect",
)
# An answer with a rotated token that does not arrive is lost by the vendor's rules: these may only be slow.
TOKEN_KINDS = ("latency-300", "latency-3000")
WRONG_SETTINGS = ("[cache]\nttl = \"soon\"\n", "[cache\n", "[quota]\nper_minute = 3\n")
READ = (
    "/", "/status", "/status/history", "/metrics", "/cache", "/cache?sort=age&order=desc&page=2", "/cache?trouble=1", "/quota",
    "/token", "/fleet", "/config", "/failures", "/livez", "/readyz", "/version", "/openapi.json",
)


class Disturbance(threading.Thread):
    """Repeats `once` until it is stopped, each `seconds`. `faults`: what the proxies did wrong."""

    def __init__(self, world, seconds, seed, told):
        super().__init__(daemon=True)
        self.world, self.seconds, self.told = world, seconds, told
        self.random, self.ended = random.Random(f"{type(self).__name__}{seed}"), threading.Event()
        self.done, self.faults = 0, []

    def run(self):
        while not self.ended.wait(self.seconds):
            try:
                self.once()
                self.done += 1
            except Exception as error:  # told at the end, which it must not prevent
                self.faults.append(f"{type(self).__name__}: {error!r}")

    def end(self):
        """Waits until what it does is done."""
        self.ended.set()
        self.join()

    def within(self, seconds, what, done):
        until = time.monotonic() + seconds
        while not done():
            if time.monotonic() > until:
                self.faults.append(f"{time.strftime('%H:%M:%S', time.gmtime())} not within {seconds} s: {what}")
                return
            time.sleep(0.2)


class VendorFaults(Disturbance):
    """Each kind in turn, shuffled: on all calls, on the next few, or on one report."""

    deck = ()

    def once(self):
        if not self.deck:
            self.deck = [*KINDS, *TOKEN_KINDS]
            self.random.shuffle(self.deck)
        kind = self.deck.pop()
        if kind in TOKEN_KINDS:
            scope = {"on": "token"}
        else:
            one = {"id": kept_activity(self.random.randrange(20))}
            scope = self.random.choice([{}, {}, {"next": self.random.randint(1, 5)}, one])
        self.told("fault", f"{kind} {scope}")
        self.world.put_fault(kind, **scope)
        # Half of the pause before it: else the circuit is open most of the time.
        self.ended.wait(self.seconds / 2)
        self.world.end_faults()


class StoreRestarts(Disturbance):
    """Restarted, killed, stopped for a while, and emptied."""

    def once(self):
        store = self.world.store
        kind = ("restart", "kill -9", "stop", "empty")[self.done % 4]
        self.told("store", kind)
        if kind == "stop":
            store.process.send_signal(signal.SIGSTOP)
            self.ended.wait(self.random.uniform(2, 8))
            store.process.send_signal(signal.SIGCONT)
        elif kind == "empty":
            store.say("FLUSHALL")
        else:
            store.process.send_signal(signal.SIGTERM if kind == "restart" else signal.SIGKILL)
            store.process.wait()
            self.ended.wait(self.random.uniform(1, 25))
            store.start()
        for replica in self.world.replicas:
            self.within(60, f"{replica.admin} is with the store again", lambda: worlds.metrics(replica)["shared_up"] == 1)


class Reloads(Disturbance):
    """The file is replaced; each third time by a wrong one, which changes nothing."""

    good = 0

    def once(self):
        if self.done % 3 == 2:
            wrong = self.random.choice(WRONG_SETTINGS)
            self.told("reload", "wrong")
            self.world.write_settings(wrong)
        else:
            self.good += 1
            self.told("reload", "good")
            self.world.write_settings(worlds.settings(self.good))
        success = 0 if self.done % 3 == 2 else 1
        for replica in self.world.replicas:
            self.within(10, f"{replica.admin} tells of reload {self.done}", lambda: self._is_told(replica, success))

    def _is_told(self, replica, success):
        shown = json.loads(http("GET", f"{replica.admin}/config")[1])
        told = worlds.metrics(replica)["config_reload_success"]
        return (
            told == success
            and shown["reload"]["success"] == bool(success)
            and shown["cache"]["negative_ttl"] == worlds.negative_ttl(self.good)
        )


class Purges(Disturbance):
    def once(self):
        status, said = self.world.purge(self.random.choice(self.world.replicas), self.random.choice(purged_activities()))
        assert status == 200, f"{status} {said}"


class Readers(Disturbance):
    """All that the admin port shows, also of one report, and what it refuses."""

    def once(self):
        replica = self.world.replicas[self.done % len(self.world.replicas)]
        page = READ[(self.done // len(self.world.replicas)) % len(READ)]
        for asked in (page, f"/cache/{kept_activity(self.random.randrange(20))}"):
            status, said = http("GET", f"{replica.admin}{asked}")
            assert status in ({200, 404} if asked.startswith("/cache/") else {200}), f"{asked}: {status} {said[:200]}"
        status, _ = http("DELETE", f"{replica.admin}/cache")
        assert status == 401, f"a purge without a token: {status}"
