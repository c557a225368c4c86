"""Runs what deploy/compose/compose.yaml says, without an engine: each service as a process, in a root directory with its files, as
its user, at its addresses; then what its page has a person paste. But for Grafana, which no package carries: its files are held to
what it reads, and its dashboards' queries are made to the addresses that it is told.

    compose.py BINARY VALKEY_SERVER
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
from contextlib import suppress
from pathlib import Path

import compose_spec
import yaml

import dashboards
import netns
from clicks import Clicks
from documented import DEPLOY
from pod import Container, install_proxy
from processes import CALLS_AT_ANY_HOUR, environment, http, stats, wait_for
from provisioning import data_source_faults, data_sources, provider_faults

PLACE = DEPLOY / "compose"
IMAGE = "link-report-proxy:simulator"
VENDOR = "http://127.0.0.1:8090"
# Of an image that is not ours: who its processes are of, and where its programs are.
STORE, PROMETHEUS = (999, "usr/local/bin"), (65534, "bin")
NOT_RUN = {"grafana"}


class Service(Container):
    def __init__(self, root, name, spec, binary, valkey, hosts):
        self.is_ours = spec["image"] == IMAGE
        user, self.place = (65532, None) if self.is_ours else PROMETHEUS if name == "prometheus" else STORE
        super().__init__(root, user, user)
        self.name, self.spec = name, spec
        if self.is_ours:
            install_proxy(self, binary)
        elif name == "prometheus":
            self.install(shutil.which("prometheus"), f"{self.place}/prometheus")
        else:
            self.install(valkey, f"{self.place}/valkey-server")
            self.install(shutil.which("redis-cli"), f"{self.place}/valkey-cli")
        self.directory("/tmp", 0o777)
        self.knows_host(*hosts)
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
        command = self.spec.get("command", ["serve"])
        # Its image's entrypoint.
        return ["prometheus", *command] if self.name == "prometheus" else command

    def inside(self, words):
        if self.is_ours:
            return self.command(*words)
        return self.command(*words[1:], program=f"{self.place}/{words[0]}")

    def environment(self):
        more = environment(CALLS_AT_ANY_HOUR) if self.name.startswith("proxy-") else {}
        return {**self.spec.get("environment", {}), **more}

    def healthy(self):
        """What the file says, or else the image."""
        if self.name == "prometheus":
            return self.process.poll() is None and is_ready("http://127.0.0.1:9090/-/ready")
        test = self.spec.get("healthcheck", {"test": ["CMD", "healthcheck"]}).get("test")
        if self.process.poll() is not None:
            raise SystemExit(f"{self.name} ended: {self.log.read_text()}")
        if test is None:
            return True
        return subprocess.run(self.inside(test[1:]), env=self.environment(), capture_output=True).returncode == 0

    def end(self):
        self.process.kill()
        self.process.wait()


def is_ready(url):
    with suppress(OSError):
        return http("GET", url)[0] == 200
    return False


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
        for port in spec.get("ports", []):
            if not port.startswith("127.0.0.1:"):
                yield f"{name} publishes {port} to more than this machine"
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


def grafana_faults(grafana):
    mounted = {target: PLACE / source for source, target, _ in (v.split(":") for v in grafana["volumes"] if v.startswith("."))}
    (sources,) = [path for target, path in mounted.items() if target.startswith("/etc/grafana/provisioning/datasources/")]
    (providers,) = [path for target, path in mounted.items() if target.startswith("/etc/grafana/provisioning/dashboards/")]
    shown = {target: path for target, path in mounted.items() if path.suffix == ".json"}
    (place,) = {str(Path(target).parent) for target in shown}
    yield from data_source_faults(sources)
    yield from provider_faults(providers, place)
    if {path.name for path in shown.values()} != {path.name for path in dashboards.GRAFANA.glob("*.json")}:
        yield f"grafana has {sorted(shown)}"
    environment = grafana["environment"]
    if environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] not in shown:
        yield "grafana's first page is none of its dashboards"
    # admin/admin is what there is where nothing is said.
    if environment.get("GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION") != "true" or environment["GF_AUTH_BASIC_ENABLED"] != "false":
        yield "grafana has an administrator with the password that everybody knows"
    if environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] != "Viewer":
        yield "who reaches grafana may change it"


def asked(api, **parameters):
    return json.loads(http("GET", f"http://127.0.0.1:9090/api/v1/{api}?{urllib.parse.urlencode(parameters)}")[1])["data"]


def here(url):
    """An address in compose.yaml's network, in this one."""
    return re.sub(r"//[a-z]+:", "//127.0.0.1:", url)


def observed_faults(proxies, sources):
    """Prometheus reaches every proxy, has taken the rules, and answers the operator's dashboard; the proxy answers the other."""

    def up():
        return [one["scrapeUrl"] for one in asked("targets")["activeTargets"] if one["health"] == "up"]

    wait_for("Prometheus to reach the proxies", lambda: len(up()) >= len(proxies), said=lambda: str(asked("targets")))
    ports = sorted(proxy.environment()["LINK_REPORT_PROXY__ADMIN__LISTEN"].rsplit(":", 1)[1] for proxy in proxies)
    if sorted(urllib.parse.urlsplit(url).port for url in up()) != [int(port) for port in ports]:
        yield f"Prometheus scrapes {up()}"
    rules = yaml.safe_load((DEPLOY / "prometheus" / "link-report-proxy.rules.yml").read_text())
    loaded = {(rule["name"], rule["health"]) for group in asked("rules")["groups"] for rule in group["rules"]}
    expected = {rule.get("alert") or rule["record"] for group in rules["groups"] for rule in group["rules"]}
    if {name for name, _ in loaded} != expected or any(health == "err" for _, health in loaded):
        yield f"Prometheus has the rules {loaded}"
    by_name = {source["name"]: source for source in sources}
    if here(by_name["Prometheus"]["url"]) != "http://127.0.0.1:9090":
        yield f"Grafana asks {by_name['Prometheus']['url']}"
    titled = dict(dashboards.queries(dashboards.load("operator.json")))
    variables = {"cluster": ".*", "namespace": "link-reports", "job": ".*", "pod": ".*", "__rate_interval": "20s", "__range": "1m"}
    # Not those of the process: a root directory has no /proc.
    for title in ("Pods up", "Day's calls", "Calls by reason", "Pods by circuit state", "Replicas"):
        for target in titled[title]:
            if not asked("query", query=dashboards.expand(target["expr"], variables))["result"]:
                yield f"{title}: no data"
    clicks = Clicks(here(by_name["Link reports"]["url"]), here(by_name["Link reports, admin port"]["url"]))
    for panel in dashboards.panels(clicks.dashboard):
        if not clicks.rows(panel):
            yield f"{panel['title']}: shows nothing"


def fleet_faults(services, binary, valkey):
    blocks = re.findall(r"^```sh\n(.*?)^```$", (PLACE / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    started = {}
    with tempfile.TemporaryDirectory() as directory:
        try:
            proxies = [name for name in services if name.startswith("proxy-")]
            assert {"vendor", "store", "prometheus", *proxies, *NOT_RUN} == services.keys(), "a service that is not run"
            for name in ["vendor", "store", *proxies, "prometheus"]:
                service = started[name] = Service(Path(directory) / name, name, services[name], binary, valkey, services)
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
            yield from observed_faults(proxies, data_sources(PLACE / "grafana" / "datasources.yaml"))
            fault = next(block for block in blocks if "_simulator/fault" in block).replace("10000300", "10000002")
            subprocess.run(["bash", "-euc", fault], capture_output=True, check=True)
            failed = 'sum(link_report_proxy_upstream_requests_total{namespace="link-reports", code="503"}) > 0'
            wait_for("the failures to be seen", lambda: asked("query", query=failed)["result"])
        finally:
            for service in started.values():
                service.end()


def main(binary, valkey):
    netns.enter()
    text = (PLACE / "compose.yaml").read_text()
    compose_spec.PyOptions(apply_merge=True).from_yaml(text).validate()
    parsed = yaml.safe_load(text)
    faults = [*file_faults(parsed["services"], parsed["volumes"]), *grafana_faults(parsed["services"]["grafana"])]
    faults = [*faults, *fleet_faults(parsed["services"], binary, valkey)]
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main(*sys.argv[1:])
