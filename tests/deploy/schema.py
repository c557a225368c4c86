"""What the API server judges and JSON schemas do not: words out of closed sets, and "restricted" Pod Security."""

# Field: the words it may be. Fields of one name mean the same wherever they stand in our manifests.
ENUMS = {
    "effect": {"NoExecute"},
    "operator": {"Exists", "In", "DoesNotExist"},
    "appProtocol": {"http"},
    "mode": {"Terminate"},
    "whenDeleted": {"Retain"},
    "whenScaled": {"Retain"},
    "accessModes": {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"},
    "fsGroupChangePolicy": {"OnRootMismatch", "Always"},
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "policyTypes": {"Ingress", "Egress"},
    "protocol": {"TCP", "UDP", "SCTP", "HTTPS"},
    "restartPolicy": {"Always"},
    "unhealthyPodEvictionPolicy": {"IfHealthyBudget", "AlwaysAllow"},
    "pod-security.kubernetes.io/enforce": {"restricted"},
    "pod-security.kubernetes.io/warn": {"restricted"},
}
TYPES = {
    "strategy": {"Recreate", "RollingUpdate"},
    "seccompProfile": {"RuntimeDefault", "Localhost"},
    "path": {"PathPrefix"},
}
KINDS = {
    "ConfigMap": "v1",
    "Deployment": "apps/v1",
    "ExternalSecret": "external-secrets.io/v1",
    "Gateway": "gateway.networking.k8s.io/v1",
    "HTTPRoute": "gateway.networking.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
    "Namespace": "v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "PersistentVolumeClaim": "v1",
    "PodDisruptionBudget": "policy/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "StatefulSet": "apps/v1",
}
# These have no schema here: the fields that we use, as their APIs name them. None is any value.
RELABELING = {"sourceLabels": None, "regex": None, "targetLabel": None, "replacement": None}
RULE = dict.fromkeys(("alert", "record", "expr", "for", "keep_firing_for", "labels", "annotations"))
LISTENER = {
    "name": None,
    "hostname": None,
    "port": None,
    "protocol": None,
    "tls": {"mode": None, "certificateRefs": [{"name": None}]},
    "allowedRoutes": {"namespaces": {"from": None}},
}
SPECS = {
    "PodMonitor": {
        "selector": {"matchLabels": None, "matchExpressions": None},
        "podMetricsEndpoints": [{"port": None, "path": None, "interval": None, "relabelings": [RELABELING]}],
    },
    "PrometheusRule": {"groups": [{"name": None, "interval": None, "rules": [RULE]}]},
    "ExternalSecret": {
        "refreshInterval": None,
        "secretStoreRef": {"kind": None, "name": None},
        "target": {"name": None},
        "data": [{"secretKey": None, "remoteRef": {"key": None}}],
    },
    "Gateway": {"gatewayClassName": None, "listeners": [LISTENER]},
    "HTTPRoute": {
        "parentRefs": [{"name": None, "sectionName": None}],
        "hostnames": None,
        "rules": [{"matches": [{"path": {"type": None, "value": None}}], "backendRefs": [{"name": None, "port": None}]}],
    },
}


def enum_faults(objects):
    for found in objects:
        if KINDS.get(found["kind"]) != found["apiVersion"]:
            yield f"{found['kind']} is not of {found['apiVersion']}"
        yield from _walk(found, found["kind"])
        if found["kind"] in SPECS:
            yield from _strange_fields(found["spec"], SPECS[found["kind"]], found["kind"])


def _strange_fields(value, known, where):
    if isinstance(known, list):
        for part in value:
            yield from _strange_fields(part, known[0], where)
    elif known is not None:
        for field in value:
            if field in known:
                yield from _strange_fields(value[field], known[field], f"{where}.{field}")
            else:
                yield f"{where}.{field} is no field of it"


def _walk(node, where):
    if isinstance(node, list):
        for part in node:
            yield from _walk(part, where)
    elif isinstance(node, dict):
        for field, value in node.items():
            words = value if isinstance(value, list) else [value]
            if field in ENUMS and not set(words) <= ENUMS[field]:
                yield f"{where}.{field} is {value}"
            # Elsewhere a path is a text.
            if field in TYPES and isinstance(value, dict) and value.get("type") not in TYPES[field]:
                yield f"{where}.{field}.type is {value.get('type')}"
            yield from _walk(value, f"{where}.{field}")


def restricted_faults(pod):
    """The Pod Security Standard "restricted", and what we ask beyond it: a number for a user and a read-only root."""
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field
    for volume in pod["volumes"]:
        if not volume.keys() & {"configMap", "emptyDir", "persistentVolumeClaim", "projected"}:
            yield f"volume {volume['name']} is of a kind that restricted forbids"
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        security = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
        wanted = {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for field, value in wanted.items():
            if security.get(field) != value:
                yield f"{container['name']}: {field} is {security.get(field)}"
        if not isinstance(security.get("runAsUser"), int) or security["runAsUser"] == 0:
            yield f"{container['name']}: runAsUser is {security.get('runAsUser')}"
        if not container["resources"]["limits"].get("memory") or not container["resources"]["requests"].get("cpu"):
            yield f"{container['name']}: has no resources"
