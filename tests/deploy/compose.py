"""Runs what deploy/compose/compose.yaml says, without an engine: each service as a process, in a root directory with its files, as
its user, at its addresses; then what its page has a person paste.

    compose.py BINARY VALKEY_SERVER
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import compose_spec
import yaml

import netns
from documented import DEPLOY
from pod import Container, install_proxy
from processes import stats, wait_for

PLACE = DEPLOY / "compose"
IMAGE = "link-report-proxy:simulator"
VENDOR = "http://127.0.0.1:8090"


class Service(Container):
    def __init__(self, root, name, spec, binary, valkey):
        self.is_ours = spec["image"] == IMAGE
        # Ours is the image's USER; that of Valkey's image is the one which its entrypoint changes to.
        super().__init__(root, *((65532, 65532) if self.is_ours else (999, 999)))
        self.name, self.spec = name, spec
        if self.is_ours:
            install_proxy(self, binary)
        else:
            self.install(valkey, "usr/local/bin/valkey-server")
            self.install(shutil.which("redis-cli"), "usr/local/bin/valkey-cli")
        self.directory("/tmp", 0o777)
        self.knows_host("store")
        for volume in spec.get("volumes", []):
            source, target = volume.split(":")[:2]
            if source.startswith("."):
                self.file(target, (PLACE / source).read_text(), 0o644)
            else:
                self.directory(target, 0o777)
        self.log = self.root.parent / f"{name}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(self.inside(self.words()), env=self.environment(), stdout=log, stderr=log)

    def words(self):
        return self.spec.get("command", ["serve"])

    def inside(self, words):
        if self.is_ours:
            return self.command(*words)
        return self.command(*words[1:], program=f"usr/local/bin/{words[0]}")

    def environment(self):
        return dict(self.spec.get("environment", {}))

    def healthy(self):
        """What the file says, or else the image."""
        test = self.spec.get("healthcheck", {"test": ["CMD", "healthcheck"]}).get("test")
        if self.process.poll() is not None:
            raise SystemExit(f"{self.name} ended: {self.log.read_text()}")
        if test is None:
            return True
        return subprocess.run(self.inside(test[1:]), env=self.environment(), capture_output=True).returncode == 0

    def end(self):
        self.process.kill()
        self.process.wait()


def file_faults(services, volumes):
    """What the specification's parser does not look at: names, files, ports, and what must be as it is deployed."""
    for name, spec in services.items():
        for other in [*spec.get("depends_on", {}), *re.findall(r"^service:(.*)", spec.get("network_mode", ""))]:
            if other not in services:
                yield f"{name} needs {other}, which is no service"
        for volume in spec.get("volumes", []):
            source = volume.split(":")[0]
            if not (source in volumes or (source.startswith(".") and (PLACE / source).is_file())):
                yield f"{name} mounts {source}, which is not there"
    build = services["vendor"]["build"]
    dockerfile = (PLACE / build["context"] / build["dockerfile"]).read_text()
    for argument in build["args"]:
        if f"ARG {argument}=" not in dockerfile:
            yield f"the Dockerfile has no {argument}"
    ours = {name: spec for name, spec in services.items() if name.startswith("proxy-")}
    listened = sorted(
        int(value.rsplit(":", 1)[1]) for spec in ours.values() for key, value in spec["environment"].items() if key.endswith("__LISTEN")
    )
    published = [port.split(":") for port in services["vendor"]["ports"]]
    if sorted(int(inside) for _, _, inside in published) != sorted([8090, *listened]) or any(a != "127.0.0.1" for a, _, _ in published):
        yield f"the published ports are {published}, those of the proxies {listened}"
    for spec in ours.values():
        if int(spec["environment"]["LINK_REPORT_PROXY__SHARED__REPLICAS"]) != len(ours):
            yield "shared.replicas is not the number of proxies"
    password = re.search(r":(\w+)@", ours["proxy-1"]["environment"]["LINK_REPORT_PROXY__SHARED__URL"])[1]
    deployed = (DEPLOY / "kubernetes" / "valkey" / "users.acl").read_text()
    if (PLACE / "users.acl").read_text() != deployed.replace("PASSWORD_SHA256", hashlib.sha256(password.encode()).hexdigest()):
        yield "users.acl is not that of kubernetes/valkey with the password of shared.url"
    (stateful_set,) = yaml.safe_load_all((DEPLOY / "kubernetes" / "valkey" / "statefulset.yaml").read_text())
    (container,) = stateful_set["spec"]["template"]["spec"]["containers"]
    store = services["store"]
    if store["image"] != container["image"] or store["healthcheck"]["test"][1:] != container["startupProbe"]["exec"]["command"]:
        yield "the store's image or probe is not that of kubernetes/valkey"


def fleet_faults(services, binary, valkey):
    blocks = re.findall(r"^```sh\n(.*?)^```$", (PLACE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    started = {}
    with tempfile.TemporaryDirectory() as directory:
        try:
            for name in ["vendor", "store", *(name for name in services if name.startswith("proxy-"))]:
                service = started[name] = Service(Path(directory) / name, name, services[name], binary, valkey)
                wait_for(f"{name} to be healthy", service.healthy, said=service.log.read_text)
            wait_for("the simulator", lambda: "REFRESH_TOKEN=" in started["vendor"].log.read_text())
            proxies = [service for name, service in started.items() if name.startswith("proxy-")]
            for proxy in proxies:
                admin = proxy.environment()["LINK_REPORT_PROXY__ADMIN__LISTEN"].replace("0.0.0.0", "http://127.0.0.1")
                metrics = ["curl", "-s", f"{admin}/metrics"]

                def is_joined(metrics=metrics):
                    shown = subprocess.run(metrics, capture_output=True).stdout
                    return b"_shared_up 1\n" in shown and b'_token_state{state="valid"} 1\n' in shown

                wait_for(
                    f"{proxy.name} to reach the store",
                    is_joined,
                    seconds=60,
                    said=proxy.log.read_text,
                )
            pasted = next(block for block in blocks if "_simulator/stats" in block)
            said = subprocess.run(["bash", "-euc", pasted], capture_output=True, text=True, check=True).stdout
            if said.count("HTTP/1.1 200 OK") != len(proxies) or '"calls":1,' not in said or stats(VENDOR)["calls"] != 1:
                yield f"not one call for {len(proxies)} answers: {said}"
        finally:
            for service in started.values():
                service.end()


def main(binary, valkey):
    netns.enter()
    text = (PLACE / "compose.yaml").read_text()
    compose_spec.PyOptions(apply_merge=True).from_yaml(text).validate()
    parsed = yaml.safe_load(text)
    faults = [*file_faults(parsed["services"], parsed["volumes"]), *fleet_faults(parsed["services"], binary, valkey)]
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main(*sys.argv[1:])
