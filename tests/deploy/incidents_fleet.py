"""What happens to replicas that share a store, each with the alerts that it has to raise, and no other.

A fleet has a redis-server and a simulated vendor of its own.
"""

import socket
import subprocess
import time
from pathlib import Path

from processes import Proxy, wait_for
from scenarios import Scenario, alerts, cold, consent, demo


# Calls a day of a fleet: more than any of them makes.
PER_DAY = 1_000_000


class Store:
    """Debian's redis-server, on a unix socket. Durable: all that it has acknowledged is on a disk."""

    def __init__(self, directory, durable=True):
        self.path = Path(directory) / f"store-{id(self)}"
        self.files = Path(directory) / f"files-of-store-{id(self)}"
        self.files.mkdir()
        kept = ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
        self.command = ["redis-server", "--port", "0", "--save", "", *kept, "--unixsocket", str(self.path)]
        self.start()

    def start(self):
        """Also once more, after `end`."""
        self.process = subprocess.Popen(self.command, cwd=self.files, stdout=subprocess.DEVNULL)
        wait_for("redis-server to listen", self._listens)

    def _listens(self):
        try:
            return self.say("PING") == b"+PONG"
        except OSError:
            return False

    def say(self, command):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(self.path))
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(1024).strip()

    def end(self):
        self.process.kill()
        self.process.wait()


class Fleet:
    """Replicas of one API key; `each` has more settings for each of them."""

    def __init__(self, binary, directory, each, replicas=None, durable=True):
        self.store = Store(directory, durable)
        self.url = f"unix://{self.store.path}"
        self.members = []
        try:
            self.vendor = demo()(binary, directory)
            self.members.append(self.vendor)
            settings = {
                "log.level": "error",
                "upstream.base_url": self.vendor.simulator(),
                "token.access_token": consent(self.vendor.simulator())["access_token"],
                "shared.url": self.url,
                "shared.namespace": "fleet",
                "shared.replicas": replicas or len(each),
                # The machine may be busy.
                "shared.timeout": "1s",
                # A fleet that has just started assumes that its part of the day is used.
                "quota.per_day": PER_DAY,
            }
            self.replicas = []
            for more in each:
                self.replicas.append(Proxy(binary, "serve", {**settings, **more}, directory))
                self.members.append(self.replicas[-1])
        except BaseException:
            self.end()
            raise
        self.admins = [replica.admin for replica in self.replicas]

    def end(self):
        for member in reversed(self.members):
            member.end()
        self.store.end()


def of(*each, durable=True):
    return lambda binary, directory: Fleet(binary, directory, each, durable=durable)


def all_are_asked(fleet, story):
    """Each report of each replica: one fetches it, the others have it from the store, and then all from memory."""
    number = 0
    while not story.is_set():
        number += 1
        for _round in range(4):
            for replica in fleet.replicas:
                replica.report(cold(number))
        story.wait(1)


def store_is_killed(fleet, story):
    # What a counter shows from its first scrape on is no increase.
    story.wait(5)
    story.fault_begins()
    fleet.store.end()
    all_are_asked(fleet, story)


def store_is_emptied_again_and_again(fleet, story):
    story.wait(5)
    story.fault_begins()
    for number in range(8):
        fleet.replicas[0].report(cold(2 * number))
        fleet.store.say("FLUSHALL")
        fleet.replicas[0].report(cold(2 * number + 1))
        story.wait(3)
    story.wait()


def nobody_asks(_fleet, story):
    story.wait()


# Not here, but tested by promtool: TokenStoreBehind, CountsDisagree and SharedReportsRefused, whose causes are in tests/it.
FLEET = Scenario("fleet", alerts(), of({}, {}, {}), all_are_asked)
ALL = [
    FLEET,
    Scenario(
        "fleet-store-away",
        alerts("StoreAway", "StoreAwayLong", "OfflineCalls"),
        of({}, {}),
        store_is_killed,
        rings="StoreAway",
        rings_later="StoreAwayLong",
        lasts=45,
        incident="The store of a fleet dies",
        within=20,
        injected="`kill -9` of Redis",
    ),
    Scenario(
        "fleet-cut-off",
        alerts("StoreAway"),
        of({}, {}, {"shared.url": "unix:///nowhere/store"}),
        nobody_asks,
        rings="StoreAway",
        incident="One replica of three cannot reach the store",
        within=25,
        injected="`shared.url` of a socket that is not there",
    ),
    Scenario(
        "fleet-forks",
        alerts("StoreForks"),
        of({}, {}),
        store_is_emptied_again_and_again,
        rings="StoreForks",
        incident="The store loses its data again and again",
        within=30,
        injected="`FLUSHALL`, eight times",
    ),
    Scenario(
        "fleet-volatile",
        alerts("StoreNotDurable"),
        of({}, {}, durable=False),
        nobody_asks,
        rings="StoreNotDurable",
        incident="The store keeps nothing on a disk",
        within=30,
        injected="Redis without an append-only file",
    ),
    Scenario(
        "fleet-split",
        alerts("ReplicasUnexpected"),
        of({}, {}, {"shared.namespace": "other"}),
        nobody_asks,
        rings="ReplicasUnexpected",
        incident="One replica of three counts elsewhere",
        within=35,
        injected="another `shared.namespace`",
    ),
]
