"""Runs the store that is deployed, with its own files and users, and the proxies of its overlay in front of it.

    store.py BINARY RENDERED.yaml VALKEY_SERVER

redis-server runs all of it, TLS included; the valkey-server of the tests has no TLS and runs all else.
"""

import copy
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import netns
from documented import DEPLOY, documented_keys, store_secrets
from overlay import STORE, Overlay
from pod import Pod, PodContainer
from processes import CALLS_AT_ANY_HOUR, Simulator, environment, http, stats, wait_for
from schema import restricted_faults

SERVER, CLI = "usr/local/bin/valkey-server", "usr/local/bin/valkey-cli"
USER = "link-report-proxy"
REFUSED = [
    "FLUSHALL",
    "KEYS *",
    "CONFIG GET *",
    "CONFIG SET maxmemory-policy allkeys-lru",
    "EVAL return(1) 0",
    "GET lrp:{main}:fleet",
    "HGET lrp:{other}:fleet epoch",
    "ACL SETUSER link-report-proxy allkeys",
    "SAVE",
    "SHUTDOWN",
    "SUBSCRIBE x",
]


class Store(PodContainer):
    """The container of the StatefulSet. Its programs are those of this machine."""

    def __init__(self, root, server, overlay, secrets):
        self.objects = {found["kind"]: found for found in overlay.store}
        spec = self.objects["StatefulSet"]["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        config_maps = {found["metadata"]["name"]: found["data"] for found in overlay.store if found["kind"] == "ConfigMap"}
        super().__init__(root, spec, container, config_maps, secrets)
        self.install(server, SERVER)
        self.install(shutil.which("redis-cli"), CLI)
        self.log = self.root.parent / f"{self.root.name}.log"
        self.process = None

    def start(self, *more):
        """As the container's command, with more arguments where this machine lacks something."""
        name, *arguments = self.container["command"]
        assert f"usr/local/bin/{name}" == SERVER, f"the command is {name}"
        with self.log.open("a") as log:
            command = self.command(*arguments, *more, program=SERVER)
            self.process = subprocess.Popen(command, env={}, stdout=log, stderr=log)
        wait_for("the store", lambda: self.process.poll() is not None or self.probe("startupProbe"))
        if self.process.poll() is not None:
            raise SystemExit(f"the store ended: {self.log.read_text()}")

    def probe(self, name):
        cli, *arguments = self.container[name]["exec"]["command"]
        assert f"usr/local/bin/{cli}" == CLI, f"the {name} is {cli}"
        return self.cli(*arguments).returncode == 0

    def cli(self, *arguments):
        return subprocess.run(self.command(*arguments, program=CLI), env={}, capture_output=True, text=True, timeout=20)

    def say(self, command, user=USER, password=None):
        """What the store answers to a command by this user."""
        words = command.split(" ")
        login = ["--no-auth-warning", "--user", user, "--pass", password] if user else []
        return self.cli("-s", "/tmp/valkey.sock", *login, *words).stdout.strip()

    def load_users(self, rule):
        """As store.md says."""
        self.secrets = {**self.secrets, "link-report-proxy-store-acl": {"users.acl": rule}}
        self.mount_all()
        page = (DEPLOY / "store.md").read_text()
        command = re.search(rf"^kubectl \S+ \S+ exec {STORE}-0 -- valkey-cli (.* acl load)$", page, re.MULTILINE)[1]
        loaded = self.cli(*command.split())
        assert loaded.stdout == "OK\n", loaded

    def end(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Replica(Pod):
    """One sidecar of the overlay, at addresses of its own, in front of the simulated vendor."""

    def __init__(self, root, binary, overlay, secrets, number, vendor):
        super().__init__(root, binary, overlay.pod, overlay.proxy, overlay.config_maps, secrets)
        self.knows_host(STORE)
        # The first one's addresses are those of the manifests, which each has in a Pod of its own.
        moved = {"server.listen": f"127.0.0.1:{18080 + number}", "admin.listen": f"127.0.0.1:{19090 + number}"}
        # A refresh would be a call more, on a machine that is slow.
        moved["cache.min_refresh_interval"] = "1h"
        moved |= CALLS_AT_ANY_HOUR
        for key in ("upstream.base_url", "token.token_url", "token.device_authorization_url", "token.client_id"):
            moved[key] = vendor.settings[key]
        self.data, self.admin = (f"http://{moved[key]}" for key in ("server.listen", "admin.listen"))
        self.log = self.root.parent / f"{self.root.name}.log"
        with self.log.open("w") as log:
            command = self.command(*overlay.proxy["args"])
            self.process = subprocess.Popen(command, env={**self.environment(), **environment(moved)}, stdout=log, stderr=log)
        self.wait_for_the_store()

    def wait_for_the_store(self):
        wait_for(f"{self.root.name} to reach the store", self._is_joined, seconds=60, said=self.log.read_text)

    def wait_for_a_reply(self):
        """One that comes after this: until then it may not have noticed that its connection is gone."""
        since = time.monotonic()

        def replied():
            told = json.loads(http("GET", f"{self.admin}/fleet")[1])["store"]
            # In whole seconds.
            return told["last_reply_seconds_ago"] + 1 < time.monotonic() - since

        wait_for(f"{self.root.name} to hear of the store", replied, seconds=60, said=self.log.read_text)

    def wait_for_the_new_epoch(self):
        """After the store was away: what it may have lost is made up for."""
        wait_for(
            f"{self.root.name} to recover",
            lambda: "the shared store has lost writes" in self.log.read_text(),
            seconds=60,
            said=self.log.read_text,
        )

    def _is_joined(self):
        if self.process.poll() is not None:
            raise SystemExit(f"{self.root.name} ended: {self.log.read_text()}")
        try:
            metrics = http("GET", f"{self.admin}/metrics")[1]
            # A new fleet waits some 20 s for an older token than that of its settings.
            return "_shared_up 1\n" in metrics and '_token_state{state="valid"} 1\n' in metrics
        except OSError:
            return False

    def report(self, activity):
        return http("GET", f"{self.data}/v3/reports/email_reports/{activity}/links")[0]

    def end(self):
        self.process.kill()
        self.process.wait()


class Fleet:
    """A store and replicas, as one engine runs them."""

    def __init__(self, engine, store, arguments, replica, vendor):
        self.engine, self.store, self.arguments, self.replica, self.vendor = engine, store, arguments, replica, vendor
        self.replicas = []

    def join(self):
        self.replicas.append(self.replica(f"{self.engine}-{len(self.replicas)}", len(self.replicas)))

    def calls(self):
        return stats(self.vendor.url)["calls"]

    def ask_all(self, activity):
        """(what each replica answers, the calls that it took)"""
        before = self.calls()
        return [replica.report(activity) for replica in self.replicas], self.calls() - before

    def faults(self, password):
        self.store.start(*self.arguments)
        yield from access_faults(self.store, password)
        yield from durability_faults(self.store, password)
        one, two = (f"0000000{key}-0000-4000-8000-000000000003" for key in (1, 2))
        self.join()
        self.join()
        if (found := self.ask_all(one)) != ([200, 200], 1):
            yield f"two replicas: {found}"
        self.store.end()
        if (found := self.ask_all(one)) != ([200, 200], 0):
            yield f"while the store is away: {found}"
        self.store.start(*self.arguments)
        for replica in self.replicas:
            replica.wait_for_the_new_epoch()
        self.join()
        if (found := self.ask_all(one)) != ([200, 200, 200], 0):
            yield f"a new replica, after the store was killed: {found}"
        yield from self.rotation_faults(password)
        for replica in self.replicas:
            replica.wait_for_a_reply()
            replica.wait_for_the_store()
        if (found := self.ask_all(two)) != ([200, 200, 200], 1):
            yield f"after a change of the password: {found}"

    def rotation_faults(self, old):
        """As store.md says, with nobody restarted."""
        new = "b" * 64
        rule = self.store.secrets["link-report-proxy-store-acl"]["users.acl"]
        hashes = [f"#{hashlib.sha256(password.encode()).hexdigest()}" for password in (old, new)]
        assert hashes[0] in rule
        self.store.load_users(rule.replace(hashes[0], " ".join(hashes)))
        for replica in self.replicas:
            url = replica.secrets["link-report-proxy-store-url"]["url"]
            replica.secrets = {**replica.secrets, "link-report-proxy-store-url": {"url": url.replace(old, new)}}
            replica.mount_all()
        for password in (old, new):
            if self.store.say("INFO server", password=password).startswith("NOPERM"):
                yield "both passwords do not work while one is changed for the other"
        self.store.load_users(rule.replace(hashes[0], hashes[1]))
        if not self.store.say("INFO server", password=old).startswith("NOAUTH"):
            yield "the old password still works"

    def end(self):
        for process in (*self.replicas, self.store):
            process.end()


def manifest_faults(overlay, store):
    """What belongs together in the store's own objects, and who may reach it."""
    yield from restricted_faults(store.spec)
    labels = store.objects["StatefulSet"]["spec"]["template"]["metadata"]["labels"]
    selectors = {
        "StatefulSet": store.objects["StatefulSet"]["spec"]["selector"]["matchLabels"],
        "Service": store.objects["Service"]["spec"]["selector"],
        "NetworkPolicy": store.objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        "PodDisruptionBudget": store.objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    }
    for kind, selector in selectors.items():
        if not selector or not selector.items() <= labels.items():
            yield f"the store's {kind} selects {selector}, which it is not"
    if store.objects["Service"]["metadata"]["name"] != store.objects["StatefulSet"]["spec"]["serviceName"]:
        yield "the StatefulSet's serviceName is no Service"
    (port,) = store.container["ports"]
    (served,) = store.objects["Service"]["spec"]["ports"]
    if served["targetPort"] != port["name"] or served["port"] != port["containerPort"]:
        yield f"the store's Service has {served}, the container {port}"
    (rule,) = store.objects["NetworkPolicy"]["spec"]["ingress"]
    (peer,) = rule["from"]
    (wanted,) = peer["podSelector"]["matchExpressions"]
    if overlay.template["metadata"]["labels"].get(wanted["key"]) not in wanted["values"] or "namespaceSelector" in peer:
        yield "the store's NetworkPolicy lets in others than the proxies"
    to_store = [
        (to, port["port"])
        for policy in overlay.of("NetworkPolicy")
        for way in policy["spec"].get("egress", [])
        for to in way.get("to", [])
        for port in way["ports"]
        if to.get("podSelector", {}).get("matchLabels", {}).items() & labels.items()
    ]
    if [number for _, number in to_store] != [served["port"]]:
        yield f"the proxies may reach {to_store} of the store"
    for volume in store.spec["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            for item in source["secret"]["items"]:
                if (source["secret"]["name"], item["key"]) not in documented_keys():
                    yield f"no page says how to make {source['secret']['name']}/{item['key']}"


def access_faults(store, password):
    """The rights are the least: nobody without a password, and nothing that a proxy does not do."""
    if not store.say("PING", user=None).startswith("NOAUTH"):
        yield "whoever has no password may talk to the store"
    if not store.say("PING", password="wrong").startswith("NOAUTH"):
        yield "a wrong password opens the store"
    for command in REFUSED:
        if not store.say(command, password=password).startswith("NOPERM"):
            yield f"a proxy may {command}: {store.say(command, password=password)}"
    for command in ("INFO", "HGET lrp:{main}:fleet epoch", "ACL LIST"):
        if not store.say(command, user="health", password="none").startswith("NOPERM"):
            yield f"the probes may {command}"


def durability_faults(store, password):
    info = dict(line.split(":", 1) for line in store.say("INFO", password=password).splitlines() if ":" in line)
    wanted = {"aof_enabled": "1", "maxmemory_policy": "noeviction", "role": "master", "aof_last_write_status": "ok"}
    for field, value in wanted.items():
        if info[field] != value:
            yield f"the store's {field} is {info[field]}"
    limit = store.container["resources"]["limits"]["memory"]
    if not limit.endswith("Mi") or int(limit.removesuffix("Mi")) * 2**20 < 2 * int(info["maxmemory"]) or info["maxmemory"] == "0":
        yield f"maxmemory {info['maxmemory']} twice, for a rewrite, does not fit into {limit}"
    (config,) = store.config_maps.values()
    if not re.search(r"^appendfsync always$", config["valkey.conf"], re.MULTILINE):
        yield "the store acknowledges what is not on its disk"


def without_tls(overlay, secrets):
    """The same for a server that has no TLS: {settings}, {secrets}."""
    url = secrets["link-report-proxy-store-url"]["url"].replace("rediss://", "redis://")
    overlay = copy.deepcopy(overlay)
    for data in overlay.config_maps.values():
        data.pop("LINK_REPORT_PROXY__SHARED__CA_FILE", None)
    return overlay, {**secrets, "link-report-proxy-store-url": {"url": url}}


def main(binary, rendered, valkey):
    netns.enter()
    overlay = Overlay(rendered)
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        secrets = store_secrets(place)
        password = re.fullmatch(rf"rediss://{USER}:(\w+)@{STORE}:6379\n", secrets["link-report-proxy-store-url"]["url"])[1]
        faults = []
        for engine, server, (settings, files), more in (
            ("redis", shutil.which("redis-server"), (overlay, secrets), []),
            ("valkey", valkey, without_tls(overlay, secrets), ["--tls-port", "0", "--port", "6379"]),
        ):
            # A day of its own for each.
            vendor = Simulator(binary)
            store = Store(place / f"{engine}-store", server, overlay, files)
            token = {"link-report-proxy-token": {"refresh-token": vendor.settings["token.refresh_token"]}}

            def replica(name, number, settings=settings, files={**files, **token}, vendor=vendor):
                return Replica(place / name, binary, settings, files, number, vendor)

            fleet = Fleet(engine, store, more, replica, vendor)
            try:
                found = [*manifest_faults(overlay, store), *fleet.faults(password)]
            finally:
                fleet.end()
                vendor.end()
            faults += [f"{engine}: {fault}" for fault in found]
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main(*sys.argv[1:])
