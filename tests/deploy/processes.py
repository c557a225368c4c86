"""Starts the real programs, finds their ports, and ends them."""

import itertools
import json
import os
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

PREFIX = "LINK_REPORT_PROXY__"
# What deploy/container/Dockerfile sets.
IMAGE = {"MIMALLOC_PURGE_DELAY": "0"}
# The one application that the simulated vendor knows.
SIMULATED_CLIENT = "f3a1c0de-5e1f-4d0c-9a57-1b2c3d4e5f60"
# A proxy that has no count of the day assumes an even pace since 00:00 UTC: shortly before midnight few calls are left.
CALLS_AT_ANY_HOUR = {"quota.per_day": 100_000_000}


# Below those that the system gives to connections, which could take one before it is used; others for each script.
PORTS = itertools.count(os.getpid() * 500)


def free_port():
    """Never the same twice."""
    while True:
        port = 10_000 + next(PORTS) % 20_000
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def http(method, url, timeout=20, headers=None):
    """(status, body), whatever the status is."""
    request = urllib.request.Request(url, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def wait_for(what, done, seconds=20, said=str):
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds} s in vain for {what}: {said()}")
        time.sleep(0.05)


def environment(settings):
    """{"cache.ttl": "1m"} as the environment of a proxy that has nothing else."""
    return {PREFIX + key.upper().replace(".", "__"): str(value) for key, value in settings.items() if value is not None}


def stats(vendor):
    """What the simulated vendor has counted."""
    return json.loads(http("GET", f"{vendor}/_simulator/stats")[1])


class Simulator:
    """The simulated vendor alone. `settings` are those of a proxy in front of it."""

    def __init__(self, binary, refresh_tokens="long-lived", *more):
        command = [binary, "simulator", "--listen", "127.0.0.1:0", "--refresh-tokens", refresh_tokens, *more]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={})
        self.settings = {}
        while "token.refresh_token" not in self.settings:
            name, _, value = self.process.stdout.readline().strip().partition("=")
            if value:
                self.settings[name.removeprefix(PREFIX).lower().replace("__", ".")] = value
        self.url = self.settings["upstream.base_url"]

    def end(self):
        self.process.kill()
        self.process.wait()


class Proxy:
    """link-report-proxy, run by `serve` or, with a simulated vendor in the same process, by `demo`."""

    def __init__(self, binary, command, settings, directory, config=None):
        self.log = Path(directory) / f"proxy-{id(self)}.log"
        self.out = self.log.with_suffix(".out")
        self.ports = {"server.listen": f"127.0.0.1:{free_port()}", "admin.listen": f"127.0.0.1:{free_port()}"}
        self.data, self.admin = (f"http://{address}" for address in self.ports.values())
        self.command, self.environment = [binary, command], {**IMAGE, **environment({**self.ports, **settings})}
        if config:
            self.environment["LINK_REPORT_PROXY_CONFIG"] = str(config)
        self.start()

    def start(self):
        """Also once more, after `end`."""
        with self.log.open("w") as log, self.out.open("w") as out:
            self.process = subprocess.Popen(
                # As where a disk is full: a write that would make a file too large fails, and no signal kills.
                self.command, stdout=out, stderr=log, env=self.environment, restore_signals=False
            )
        wait_for(f"{self.command[1]} to be ready", self._is_ready)

    def _is_ready(self):
        if self.process.poll() is not None:
            raise SystemExit(f"the proxy ended: {self.log.read_text()}")
        try:
            return http("GET", f"{self.admin}/readyz")[0] == 200
        except OSError:
            return False

    def simulator(self):
        found = re.search(r"http://\S+(?=/_simulator/)", self.out.read_text())
        return found[0]

    def fault(self, kind, **scope):
        query = "&".join(f"{key}={value}" for key, value in {"kind": kind, **scope}.items())
        status, said = http("PUT", f"{self.simulator()}/_simulator/fault?{query}")
        assert status == 200, said

    def mend(self):
        http("DELETE", f"{self.simulator()}/_simulator/fault")

    def campaigns(self):
        listed = json.loads(http("GET", f"{self.simulator()}/_simulator/campaigns")[1])
        return [campaign["campaign_activity_id"] for campaign in listed]

    def report(self, activity, query=""):
        return http("GET", f"{self.data}/v3/reports/email_reports/{activity}/links{query}")

    def metrics(self):
        return http("GET", f"{self.admin}/metrics")[1]

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
