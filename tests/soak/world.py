"""What runs: the simulated vendor, a redis-server, and replicas of the proxy that share a rotating token through it."""

import json
import secrets
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "deploy"))
from incidents_fleet import Store  # noqa: E402
from processes import Proxy, Simulator, http, stats, wait_for  # noqa: E402

REPLICAS = 2
# Renewed at 80 % of it: once a minute.
TOKEN_LIFETIME = 75
# As a partner has: some two calls a second until midnight, so that much is fetched and thrown away.
PER_DAY = 150_000


class World:
    def __init__(self, binary, place):
        self.place = place
        limits = ["--access-token-lifetime", f"{TOKEN_LIFETIME}s", "--calls-per-day", str(PER_DAY)]
        self.vendor = Simulator(binary, "rotating", *limits)
        self.store, self.replicas = None, []
        try:
            self.store = Store(place)
            self.settings_file = place / "settings.toml"
            self.write_settings(settings(0))
            self._start_replicas(binary)
            self._spend_what_a_new_fleet_assumes()
        except BaseException:
            self.end()
            raise

    def _start_replicas(self, binary):
        key_file, token_file = self.place / "seal-key", self.place / "admin-token"
        key_file.write_text(secrets.token_hex(32))
        self.admin_token = secrets.token_hex(16)
        token_file.write_text(self.admin_token)
        shared = {
            **self.vendor.settings,
            "shared.url": f"unix://{self.store.path}",
            "shared.namespace": "soak",
            "shared.replicas": REPLICAS,
            "shared.key_file": key_file,
            "admin.token_file": token_file,
            "cache.derive_clicked": "on",
            "state.snapshot_interval": "1m",
            "log.format": "text",
        }
        for number in range(REPLICAS):
            own = {**shared, "state.dir": self.place / f"state-{number}"}
            self.replicas.append(Proxy(binary, "serve", own, self.place, self.settings_file))
        # New replicas with a refresh token of the settings wait some 20 s for one that knows a newer token.
        wait_for("a token and the store", self.all_well, seconds=90, said=lambda: self.replicas[0].log.read_text())

    def _spend_what_a_new_fleet_assumes(self):
        """It assumes that the day until now is used, pro rata. So it is: one call too many is then refused."""
        used = max(metrics(replica)['quota_used{window="day"}'] for replica in self.replicas)
        http("POST", f"{self.vendor.url}/_simulator/spend?calls={int(used)}")
        # Those count for this second too.
        time.sleep(1.1)

    def all_well(self):
        return all(is_well(replica) for replica in self.replicas)

    def write_settings(self, text):
        """As Kubernetes and careful editors do it: never half a file."""
        new = self.settings_file.with_suffix(".new")
        new.write_text(text)
        new.rename(self.settings_file)

    def vendor_stats(self):
        return stats(self.vendor.url)

    def put_fault(self, kind, **scope):
        query = urllib.parse.urlencode({"kind": kind, **scope})
        status, said = http("PUT", f"{self.vendor.url}/_simulator/fault?{query}")
        assert status == 200, said

    def end_faults(self):
        http("DELETE", f"{self.vendor.url}/_simulator/fault")

    def purge(self, replica, activity_id):
        authorized = {"Authorization": f"Bearer {self.admin_token}"}
        return http("DELETE", f"{replica.admin}/cache/{activity_id}", headers=authorized)

    def end(self):
        for one in (*self.replicas, self.store, self.vendor):
            if one:
                one.end()


class TrafficProcess:
    """traffic.py, and the last window that it has told of."""

    def __init__(self, told, place):
        command = [sys.executable, Path(__file__).with_name("traffic.py"), json.dumps(told)]
        self.log = place / "traffic.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def window(self):
        """Waits for the next one."""
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the traffic ended: {self.log.read_text()}")
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def settings(number):
    """Those that are taken over while a proxy runs; each number has others, and tells itself by cache.negative_ttl."""
    return (
        f'[cache]\nnegative_ttl = "{negative_ttl(number)}"\nttl = "{4 + number % 3}m"\n'
        f'min_refresh_interval = "{10 + number % 5}s"\n'
        f"[quota]\nper_second = {4 - number % 2}\nper_day = {PER_DAY - 5_000 * (number % 2)}\n"
        f'[log]\nlevel = "{"warn" if number % 2 else "info"}"\n'
    )


def negative_ttl(number):
    return f"{20 + number % 40}s"


def metrics(replica):
    """{series without the prefix: value}"""
    lines = [line.rsplit(" ", 1) for line in replica.metrics().splitlines() if not line.startswith("#")]
    return {name.removeprefix("link_report_proxy_"): float(value) for name, value in lines}


def is_well(replica):
    found = metrics(replica)
    return found.get("shared_up") == 1 and found['token_state{state="valid"}'] == 1 and found['circuit_state{state="closed"}'] == 1
