"""What the NetworkPolicies let out and in, as a network plugin judges them, on the clusters that there are."""

import ipaddress

# Where a Pod's resolver may be: an address, of a Pod in this namespace or of none, and a port.
RESOLVERS = {
    "kube-dns": ("10.244.0.3", "kube-system", 53),
    "the Service of kube-dns, where NodeLocal DNSCache takes its address": ("10.96.0.10", None, 53),
    "NodeLocal DNSCache": ("169.254.20.10", None, 53),
    "NodeLocal DNSCache on IPv6": ("fd00:ec2::53", None, 53),
    "OpenShift's": ("10.128.0.7", "openshift-dns", 5353),
}
VENDOR = ["198.51.100.7", "2001:db8::7"]
INSIDE = ["10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.0.1", "169.254.169.254", "fd00:ec2::254", "fe80::1"]


def allows_egress(policies, address, namespace, port, protocol="TCP"):
    """Whether one of the rules lets our Pod reach it. Pods of other kinds than ours have no labels here."""
    return any(
        matches_peer(peers, address, namespace) and matches_port(rule.get("ports", []), port, protocol)
        for policy in policies
        if "Egress" in policy["spec"]["policyTypes"]
        for rule in policy["spec"].get("egress", [])
        for peers in [rule.get("to", [])]
    )


def matches_peer(peers, address, namespace):
    # No peer at all is any.
    return not peers or any(is_peer(peer, ipaddress.ip_address(address), namespace) for peer in peers)


def is_peer(peer, address, namespace):
    if block := peer.get("ipBlock"):
        inside = address in ipaddress.ip_network(block["cidr"])
        return inside and not any(address in ipaddress.ip_network(part) for part in block.get("except", []))
    labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
    return "podSelector" not in peer and namespace is not None and labels == {"kubernetes.io/metadata.name": namespace}


def matches_port(ports, port, protocol):
    return not ports or any(wanted["port"] == port and wanted.get("protocol", "TCP") == protocol for wanted in ports)


def egress_faults(overlay):
    policies = [policy for policy in overlay.of("NetworkPolicy") if overlay.selects(policy["spec"]["podSelector"])]
    for name, (address, namespace, port) in RESOLVERS.items():
        for protocol in ("UDP", "TCP"):
            if not allows_egress(policies, address, namespace, port, protocol):
                yield f"there are no names over {protocol} where the resolver is {name}"
    for address in VENDOR:
        if not allows_egress(policies, address, None, 443):
            yield f"the vendor at {address} is out of reach"
    for address in INSIDE:
        if allows_egress(policies, address, None, 443) or allows_egress(policies, address, None, 80):
            yield f"{address} is within reach"
    for part in (block for policy in policies for block in blocks(policy)):
        whole = ipaddress.ip_network(part["cidr"])
        for less in part.get("except", []):
            if not ipaddress.ip_network(less).subnet_of(whole):
                yield f"{less} is no part of {whole}, which the API server refuses"


def blocks(policy):
    for rule in policy["spec"].get("egress", []):
        for peer in rule.get("to", []):
            if "ipBlock" in peer:
                yield peer["ipBlock"]


def ingress_faults(overlay):
    """No port is open to everybody, and none is named that is an init container's: not all network plugins find those."""
    named = {port["name"] for container in overlay.pod["containers"] for port in container.get("ports", [])}
    for policy in overlay.of("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            if not rule.get("from"):
                yield f"the NetworkPolicy {policy['metadata']['name']} lets in everybody"
            for port in (port["port"] for port in rule.get("ports", [])):
                if isinstance(port, str) and port not in named:
                    yield f"the NetworkPolicy {policy['metadata']['name']} names {port}, which no ordinary container has"


def store_faults(overlay):
    """A store that is not among these objects is in a network of its own, which the overlay names."""
    if overlay.is_fleet and not overlay.store:
        named = [ipaddress.ip_network(part["cidr"]) for policy in overlay.of("NetworkPolicy") for part in blocks(policy)]
        if not any(network.is_private for network in named):
            yield f"the managed store is out of reach: {named}"
