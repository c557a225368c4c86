"""What happens to replicas that share a store, each with the alerts that it has to raise, and no other.

A fleet has a redis-server and a simulated vendor of its own.
"""

import socket
import subprocess
import time
from pathlib import Path

from processes import Proxy, wait_for
from scenarios import Scenario, alerts, cold, consent, demo


class Store:
    """Debian's redis-server, on a unix socket, with nothing on a disk."""

    def __init__(self, directory):
        self.path = Path(directory) / f"store-{id(self)}"
        command = ["redis-server", "--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", str(self.path)]
        self.process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL)
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

    def __init__(self, binary, directory, each, replicas=None):
        self.store = Store(directory)
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


def of(*each, replicas=None):
    return lambda binary, directory: Fleet(binary, directory, each, replicas)


def all_are_asked(fleet, stop):
    """Each report of each replica: one fetches it, the others have it from the store, and then all from memory."""
    number = 0
    while not stop.is_set():
        number += 1
        for _round in range(4):
            for replica in fleet.replicas:
                replica.report(cold(number))
        stop.wait(1)


def store_is_killed(fleet, stop):
    # What a counter shows from its first scrape on is no increase.
    stop.wait(5)
    fleet.store.end()
    all_are_asked(fleet, stop)


def store_is_emptied_again_and_again(fleet, stop):
    stop.wait(5)
    for number in range(8):
        fleet.replicas[0].report(cold(2 * number))
        fleet.store.say("FLUSHALL")
        fleet.replicas[0].report(cold(2 * number + 1))
        stop.wait(3)
    stop.wait()


def nobody_asks(_fleet, stop):
    stop.wait()


# Not here, but tested by promtool: TokenStoreBehind, whose cause is in tests/it.
ALL = [
    Scenario("fleet", alerts(), of({}, {}, {}), all_are_asked),
    Scenario("fleet-store-away", alerts("StoreAway", "StoreAwayLong", "OfflineCalls"), of({}, {}), store_is_killed),
    Scenario("fleet-cut-off", alerts("StoreAway"), of({}, {}, {"shared.url": "unix:///nowhere/store"}), nobody_asks),
    Scenario("fleet-forks", alerts("StoreForks"), of({}, {}), store_is_emptied_again_and_again),
    Scenario("fleet-split", alerts("ReplicasUnexpected"), of({}, {}, {"shared.namespace": "other"}), nobody_asks),
]
