"""The files that provision Grafana, held to what Grafana reads and to what the dashboards ask for. No package carries Grafana."""

import re
import tomllib
from pathlib import Path

import yaml

import dashboards

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
INFINITY = "yesoreyeram-infinity-datasource"
DATA_SOURCE = {
    "name", "uid", "type", "access", "orgId", "url", "user", "database", "basicAuth", "basicAuthUser", "withCredentials",
    "isDefault", "jsonData", "secureJsonData", "version", "editable",
}  # fmt: skip
INFINITY_SETTINGS = {"auth_method", "allowedHosts"}
PROVIDER = {
    "name", "orgId", "folder", "folderUid", "type", "disableDeletion", "updateIntervalSeconds", "allowUiUpdates", "editable",
    "options",
}  # fmt: skip


def data_sources(path):
    return yaml.safe_load(path.read_text())["datasources"]


def data_source_faults(path):
    parsed = yaml.safe_load(path.read_text())
    if parsed["apiVersion"] != 1 or parsed.keys() - {"apiVersion", "datasources", "deleteDatasources", "prune"}:
        yield f"{path.name}: has {sorted(parsed)}"
    for source in parsed["datasources"]:
        where = f"{path.name}, {source['name']}"
        if source.keys() - DATA_SOURCE:
            yield f"{where}: Grafana knows no {sorted(source.keys() - DATA_SOURCE)}"
        if source["type"] == INFINITY:
            yield from infinity_faults(where, source)
        elif source["type"] != "prometheus":
            yield f"{where}: no dashboard asks a {source['type']}"
    yield from variable_faults(path.name, parsed["datasources"])


def infinity_faults(where, source):
    settings = source["jsonData"]
    if settings.keys() - INFINITY_SETTINGS:
        yield f"{where}: Infinity has no {sorted(settings.keys() - INFINITY_SETTINGS)}"
    if settings["allowedHosts"] != [source["url"]] or source["url"].endswith("/"):
        yield f"{where}: may ask {settings['allowedHosts']}, and is for {source['url']}"
    if settings.get("auth_method", "none") == "bearerToken":
        # From the environment: a token in a file would be in its ConfigMap too.
        if not re.fullmatch(r"\$[A-Z_]+", source["secureJsonData"]["bearerToken"]):
            yield f"{where}: has no token from the environment"
    elif "secureJsonData" in source:
        yield f"{where}: has a secret that it does not use"


def variable_faults(name, sources):
    """The dashboard's variables choose from these by the name: one the port of the reports, one that of admin."""
    variables = {one["name"]: one for one in dashboards.load("link-clicks.json")["templating"]["list"]}
    names = [source["name"] for source in sources if source["type"] == INFINITY]
    chosen = {
        variable: [name for name in names if pattern(variables[variable]["regex"]).search(name)]
        for variable in ("datasource", "admin")
    }
    if len(chosen["datasource"]) != 1 or len(chosen["admin"]) > 1 or set(chosen["datasource"]) & set(chosen["admin"]):
        yield f"{name}: the dashboard's variables choose {chosen}"


def pattern(regex):
    """/…/i as JavaScript has it."""
    body, flags = re.fullmatch("/(.*)/(i?)", regex).groups()
    return re.compile(body, re.IGNORECASE if flags else 0)


def provider_faults(path, place):
    parsed = yaml.safe_load(path.read_text())
    for provider in parsed["providers"]:
        if parsed["apiVersion"] != 1 or provider.keys() - PROVIDER or provider["type"] != "file":
            yield f"{path.name}: Grafana knows no {provider}"
        if provider["options"]["path"] != place:
            yield f"{path.name}: reads {provider['options']['path']}, and the dashboards are in {place}"


def example_faults():
    """Those that are shipped, against the settings of the proxy that they ask."""
    example, shared = DEPLOY / "kubernetes" / "example", DEPLOY / "grafana" / "datasource.yaml"
    for path in (example / "datasource.yaml", shared):
        yield from data_source_faults(path)
    (deployment,) = yaml.safe_load_all((example / "deployment.yaml").read_text())
    mounts = deployment["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    (place,) = [mount["mountPath"] for mount in mounts if mount["name"] == "dashboards"]
    yield from provider_faults(example / "dashboards.yaml", place)
    sidecar = tomllib.loads((DEPLOY / "kubernetes" / "sidecar" / "link-report-proxy.toml").read_text())
    for source, key in zip(data_sources(example / "datasource.yaml"), ("server", "admin"), strict=True):
        listened = sidecar[key]["listen"].rsplit(":", 1)[1]
        if source["url"] != f"http://127.0.0.1:{listened}":
            yield f"example/datasource.yaml: {source['name']} is {source['url']}, and the sidecar's {key}.listen {sidecar[key]['listen']}"
    (service,) = yaml.safe_load_all((DEPLOY / "kubernetes" / "shared" / "service.yaml").read_text())
    (source,) = data_sources(shared)
    address = re.fullmatch(r"http://([a-z-]+)\.link-reports-prod:(\d+)", source["url"])
    ports = [str(port["port"]) for port in service["spec"]["ports"]]
    if not address or address[1] != service["metadata"]["name"] or address[2] not in ports:
        yield f"grafana/datasource.yaml: {source['url']} is not the Service {service['metadata']['name']} with {ports}"
