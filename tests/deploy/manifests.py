"""Holds the rendered manifests to the binary and to each other: what schema checkers do not look at.

    manifests.py BINARY RENDERED.yaml...
"""

import json
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

import shares
from documented import documented_keys, store_secrets
from overlay import Overlay
from pod import Pod
from policies import egress_faults, ingress_faults, store_faults
from processes import SIMULATED_CLIENT, Proxy, environment, free_port, http, wait_for
from schema import enum_faults, restricted_faults

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
# The vendor's path, and that of the same reports as tables.
REPORTS = ["/v3/reports/email_reports", "/v1/links"]


def seconds(duration):
    unit = duration.lstrip("0123456789.")
    return float(duration.removesuffix(unit)) * UNITS[unit]


def lifecycle_faults(overlay):
    """Fields whose misspelling the API server takes for something else, or ignores."""
    if overlay.is_sidecar:
        if overlay.proxy.get("restartPolicy") != "Always":
            yield "an init container without restartPolicy Always is no sidecar: the Pod would wait for its end"
        if overlay.pod["initContainers"][0] is not overlay.proxy:
            yield "the sidecar is not the first init container"
    else:
        if overlay.workload["spec"]["replicas"] != 1 or overlay.workload["spec"]["strategy"] != {"type": "Recreate"}:
            yield "the state has one owner: 1 replica, Recreate"
    for probe, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        if overlay.proxy.get(probe, {}).get("httpGet", {}).get("path") != path:
            yield f"{probe} does not ask {path}"


def grace_faults(overlay, settings):
    grace = seconds(settings["shutdown"]["grace"])
    sleep = overlay.proxy.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    limit = overlay.pod["terminationGracePeriodSeconds"]
    if sleep + grace >= limit:
        yield f"preStop {sleep} s and shutdown.grace {grace} s do not fit into {limit} s"


def port_faults(overlay, settings):
    """Names and numbers of ports agree from the settings to whoever asks."""
    admin, data = (int(settings[section]["listen"].rsplit(":", 1)[1]) for section in ("admin", "server"))
    own = {port["containerPort"] for port in overlay.proxy["ports"]}
    if own != ({admin} if overlay.is_sidecar else {admin, data}):
        yield f"the container's ports {own} are not those of the settings, {admin} and {data}"
    others = {port["containerPort"] for c in overlay.containers if c is not overlay.proxy for port in c.get("ports", [])}
    if others & {admin, data}:
        yield f"the program and the proxy both listen on {others & {admin, data}}: a Pod has its ports once"
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        if overlay.ports.get(overlay.proxy[probe]["httpGet"]["port"]) != admin:
            yield f"{probe} does not ask the admin port"
    asked = [("PodMonitor", end["port"], admin) for m in overlay.of("PodMonitor") for end in m["spec"]["podMetricsEndpoints"]]
    if not overlay.is_sidecar:
        asked += [("Service", port["targetPort"], data) for s in overlay.of("Service") for port in s["spec"]["ports"]]
    for kind, name, number in asked:
        if overlay.ports.get(name) != number:
            yield f"the {kind} asks {name}, which is not port {number}"
    annotated = overlay.template["metadata"].get("annotations", {}).get("prometheus.io/port", str(admin))
    if annotated != str(admin):
        yield f"the annotation sends Prometheus to {annotated}"
    for policy in overlay.of("NetworkPolicy"):
        for port in (port["port"] for rule in policy["spec"].get("ingress", []) for port in rule.get("ports", [])):
            if port not in overlay.ports and port not in overlay.ports.values():
                yield f"the NetworkPolicy lets in {port}, which is no port of the Pod"


def route_faults(overlay):
    """From outside reports are reached, through TLS, and never the admin port."""
    gateways = {gateway["metadata"]["name"]: gateway["spec"]["listeners"] for gateway in overlay.of("Gateway")}
    for gateway, listeners in gateways.items():
        if [listener["protocol"] for listener in listeners] != ["HTTPS"]:
            yield f"the Gateway {gateway} listens without TLS"
    for ingress in (ingress["spec"] for ingress in overlay.of("Ingress")):
        if {rule["host"] for rule in ingress["rules"]} != {host for tls in ingress["tls"] for host in tls["hosts"]}:
            yield "the Ingress has hosts without TLS"
        ways = [(way["path"], way["backend"]["service"]["port"]["name"]) for r in ingress["rules"] for way in r["http"]["paths"]]
        if ways != [(path, "http") for path in REPORTS]:
            yield f"the Ingress lets in {ways}"
    services = {service["metadata"]["name"]: service["spec"]["ports"] for service in overlay.of("Service")}
    for route in (route["spec"] for route in overlay.of("HTTPRoute")):
        for parent in route["parentRefs"]:
            hosts = [one["hostname"] for one in gateways[parent["name"]] if one["name"] == parent["sectionName"]]
            if hosts != route["hostnames"]:
                yield f"the HTTPRoute is for {route['hostnames']}, its listener for {hosts}"
        paths = [match["path"]["value"] for rule in route["rules"] for match in rule["matches"]]
        if paths != REPORTS:
            yield f"the HTTPRoute lets in {paths}"
        for backend in (backend for rule in route["rules"] for backend in rule["backendRefs"]):
            if [port["name"] for port in services[backend["name"]] if port["port"] == backend["port"]] != ["http"]:
                yield f"the HTTPRoute leads to {backend}, which is not the port for clients"


def reference_faults(overlay):
    """Selectors select our Pod, every name that is referred to exists, and every volume is used."""
    selectors = [("Service", s["spec"]["selector"]) for s in overlay.of("Service")]
    selectors += [("PodMonitor", m["spec"]["selector"]) for m in overlay.of("PodMonitor")]
    selectors += [("NetworkPolicy", p["spec"]["podSelector"]) for p in overlay.of("NetworkPolicy")]
    selectors += [("PodDisruptionBudget", b["spec"]["selector"]) for b in overlay.of("PodDisruptionBudget")]
    selectors += [(overlay.workload["kind"], overlay.workload["spec"]["selector"])]
    for kind, selector in selectors:
        if not overlay.selects(selector):
            yield f"the {kind} selects {selector}, which our Pod is not"
    claims = {claim["metadata"]["name"] for claim in overlay.of("PersistentVolumeClaim")}
    volumes = {volume["name"]: volume for volume in overlay.pod["volumes"]}
    for name, volume in volumes.items():
        if "configMap" in volume and volume["configMap"]["name"] not in overlay.config_maps:
            yield f"volume {name}: there is no ConfigMap {volume['configMap']['name']}"
        for item in volume.get("configMap", {}).get("items", []):
            if item["key"] not in overlay.config_maps[volume["configMap"]["name"]]:
                yield f"volume {name}: there is no {item['key']}"
        if "persistentVolumeClaim" in volume and volume["persistentVolumeClaim"]["claimName"] not in claims:
            yield f"volume {name}: there is no such claim"
    mounted = {mount["name"] for c in overlay.containers for mount in c.get("volumeMounts", [])}
    for name in mounted ^ volumes.keys():
        yield f"volume {name}: is mounted or made, but not both"
    for container in overlay.containers:
        for variable in container.get("env", []):
            if "secretKeyRef" in variable.get("valueFrom", {}):
                yield f"{container['name']}: {variable['name']} is a secret in the environment"


def secret_faults(overlay):
    kept = {(e["spec"]["target"]["name"], part["secretKey"]) for e in overlay.of("ExternalSecret") for part in e["spec"]["data"]}
    known = documented_keys() | kept
    for volume in overlay.pod["volumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            for item in source["secret"]["items"]:
                if (source["secret"]["name"], item["key"]) not in known:
                    yield f"no page says how to make {source['secret']['name']}/{item['key']}"


def password_faults(overlay):
    """A Grafana has no password that everybody knows: it does not start without one of its own."""
    for container in (container for container in overlay.containers if container["image"].startswith("grafana/grafana:")):
        said = {variable["name"]: variable.get("value") for variable in container["env"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        files = [
            f"{mounts[volume['name']]}/{item['path']}"
            for volume in overlay.pod["volumes"]
            if volume["name"] in mounts
            for source in volume.get("projected", {}).get("sources", [])
            if not source["secret"].get("optional")
            for item in source["secret"]["items"]
        ]
        if said.get("GF_SECURITY_ADMIN_PASSWORD__FILE") not in files:
            yield f"{container['name']}: its password is in no Secret"
        if overlay.workload["spec"]["replicas"] != 1:
            yield f"{container['name']}: has several replicas, each with a database of its own"


def dashboard_faults(overlay, settings):
    """Where Grafana is: what its dashboards ask is what the data source may ask, and where the sidecar is."""
    addresses = {f"http://127.0.0.1:{settings[port]['listen'].rpartition(':')[2]}" for port in ("server", "admin")}
    for data in overlay.config_maps.values():
        for name, text in data.items():
            if name in ("datasource.yaml", "link-clicks.json"):
                strange = set(re.findall(r"http://127\.0\.0\.1:\d+", text)) - addresses
                if strange:
                    yield f"{name} asks {strange}, the sidecar is at {addresses}"


def run_faults(overlay, binary, directory):
    """The settings load, and the proxy serves, with the Pod's files, environment and user and nothing else."""
    # Without a store: nothing may wait for it.
    secrets = store_secrets(Path(directory)) if overlay.is_fleet else {}
    pod = Pod(Path(directory) / "root", binary, overlay.pod, overlay.proxy, overlay.config_maps, secrets)
    if "vault.hashicorp.com/agent-inject" in overlay.template["metadata"].get("annotations", {}):
        pod.file("/vault/secrets/access-token", "made-up-token", 0o644)
    config = overlay.proxy["args"][1:]
    checked = pod.run("check", "--format", "json", *config)
    if checked.returncode != 0:
        yield f"check says {checked.stderr.strip()}"
        return
    settings = json.loads(checked.stdout)
    yield from grace_faults(overlay, settings)
    yield from port_faults(overlay, settings)
    yield from dashboard_faults(overlay, settings)

    with_vendor = Proxy(binary, "demo", {"log.level": "warn"}, directory)
    try:
        yield from serve_faults(overlay, pod, config, with_vendor.simulator(), Path(directory) / "log")
    finally:
        with_vendor.end()


def serve_faults(overlay, pod, config, vendor, log):
    """Ready, healthy, given a token by a person as token.md says, and ended by SIGTERM."""
    admin = f"127.0.0.1:{free_port()}"
    # On ports of this machine, with a simulated vendor and its one application.
    moved = environment(
        {
            "server.listen": "127.0.0.1:0",
            "admin.listen": admin,
            "upstream.base_url": vendor,
            "token.token_url": f"{vendor}/oauth2/default/v1/token",
            "token.device_authorization_url": f"{vendor}/oauth2/default/v1/device/authorize",
            "token.client_id": SIMULATED_CLIENT,
        }
    )
    with log.open("w") as written:
        served = subprocess.Popen(
            pod.command(*overlay.proxy["args"]), env={**pod.environment(), **moved}, stdout=written, stderr=written
        )
    try:
        wait_for(f"{overlay.name} to be ready", lambda: served.poll() is not None or ready(admin))
        if served.poll() is not None:
            yield f"serve ended: {log.read_text()}"
            return
        health = pod.run("healthcheck", *config, more=moved)
        if health.returncode != 0:
            yield f"healthcheck says {health.stderr.strip()}"
        if not overlay.is_sidecar:
            yield from login_faults(pod, config, moved, vendor, admin)
        elif overlay.setting("TOKEN__SOURCE") == "file":
            yield from token_faults(admin, "with the token in a file")
        served.terminate()
        if served.wait(timeout=30) != 0:
            yield f"SIGTERM ended it with {served.returncode}: {log.read_text()}"
    finally:
        served.kill()


def login_faults(pod, config, moved, vendor, admin):
    with subprocess.Popen(
        pod.command("login", *config), env={**pod.environment(), **moved}, stdout=subprocess.PIPE, text=True
    ) as login:
        for line in login.stdout:
            if code := re.fullmatch(r"\s+([A-Z]{4}-[A-Z]{4})\s+", line):
                form = urllib.parse.urlencode({"user_code": code[1], "decision": "approve"}).encode()
                urllib.request.urlopen(f"{vendor}/activate", data=form).close()
        if login.wait(timeout=30) != 0:
            yield f"login ended with {login.returncode}"
    yield from token_faults(admin, "after login")


def token_faults(admin, when):
    if 'token_state{state="valid"} 1' not in http("GET", f"http://{admin}/metrics")[1]:
        yield f"{when} it is not valid: {http('GET', f'http://{admin}/token')[1]}"


def ready(admin):
    try:
        return http("GET", f"http://{admin}/readyz")[0] == 200
    except OSError:
        return False


def share_faults(overlays):
    """Whoever runs dev and one of prod on one API key stays within what the vendor allows it."""
    stages = {stage: [overlay for overlay in overlays if overlay.name.startswith(f"{stage}-")] for stage in ("dev", "prod")}
    for prod in stages["prod"]:
        dev = [overlay for overlay in stages["dev"] if overlay.form == prod.form]
        yield from (f"{prod.name} and {[overlay.name for overlay in dev]}: {fault}" for fault in shares.faults([prod, *dev]))


def main(binary, *rendered):
    overlays = [Overlay(path) for path in rendered]
    faults = [*share_faults(overlays)]
    for overlay in overlays:
        with tempfile.TemporaryDirectory() as directory:
            found = [
                *enum_faults(overlay.objects),
                *restricted_faults(overlay.pod),
                *lifecycle_faults(overlay),
                *reference_faults(overlay),
                *route_faults(overlay),
                *secret_faults(overlay),
                *password_faults(overlay),
                *egress_faults(overlay),
                *ingress_faults(overlay),
                *store_faults(overlay),
                *run_faults(overlay, binary, directory),
            ]
        faults += [f"{overlay.name}: {fault}" for fault in found]
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


main(*sys.argv[1:])
