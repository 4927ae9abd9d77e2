"""The network policies, evaluated: exactly the holes of the table, no hole more."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Object, Rendered, matches, name_of, pod_labels, pod_of
from tools.k8s_check.talk import OUTSIDE, Edge, Peer, wanted

RULES = {
    "network-open": "nobody reaches whom the table does not let reach",
    "network-closed": "everybody reaches whom the table lets reach",
    "default-deny": "all pods are closed in both directions unless a policy opens",
    "policy-selects-nothing": "a policy selects pods that exist",
}

_SPACE = {"kubernetes.io/metadata.name": "epipar"}


def check(world: Rendered) -> Iterator[Finding]:
    """Yield holes too many and holes too few; nothing where there are no policies at all."""
    policies = list(world.of_kind("NetworkPolicy"))
    if not policies:
        return
    if not any(_denies_all(policy) for policy in policies):
        yield Finding("default-deny", "NetworkPolicy", "none closes all pods in both directions")
    for policy in policies:
        if policy["spec"]["podSelector"] and not world.selected(policy["spec"]["podSelector"]):
            yield Finding("policy-selects-nothing", name_of(policy), "no pod is there for it")
    allowed, table = open_edges(world), wanted(world)
    for source, target, port in sorted(allowed - table):
        yield Finding("network-open", f"{source} to {target}:{port}", "is open and must not be")
    for source, target, port in sorted(table - allowed):
        yield Finding("network-closed", f"{source} to {target}:{port}", "is closed and must not be")


def open_edges(world: Rendered) -> set[Edge]:
    """Return every edge between workloads and samples of the outside that is open."""
    inside: dict[str, Peer] = {}
    for item in world.workloads():
        ports = tuple(
            port["containerPort"]
            for container in pod_of(item)["containers"]
            for port in container.get("ports", ())
        )
        inside[item["metadata"]["name"]] = Peer(_SPACE, pod_labels(item), "", ports)
    everybody = {**inside, **OUTSIDE}
    policies = list(world.of_kind("NetworkPolicy"))
    return {
        (source, target, port)
        for source, caller in everybody.items()
        for target, called in everybody.items()
        if source != target and (source in inside or target in inside)
        for port in called.ports
        if (source not in inside or _lets(policies, "Egress", caller, called, port))
        and (target not in inside or _lets(policies, "Ingress", called, caller, port))
    }


def _denies_all(policy: Object) -> bool:
    spec = policy["spec"]
    both = set(spec.get("policyTypes", ())) == {"Ingress", "Egress"}
    return both and not spec["podSelector"] and not spec.get("ingress") and not spec.get("egress")


def _lets(policies: list[Object], direction: str, own: Peer, other: Peer, port: int) -> bool:
    """Tell whether the policies of one pod let it talk to another in one direction."""
    its = [
        policy["spec"]
        for policy in policies
        if direction in policy["spec"].get("policyTypes", ["Ingress"])
        and matches(policy["spec"]["podSelector"], own.labels)
    ]
    if not its:
        return True
    side = "from" if direction == "Ingress" else "to"
    return any(
        _has_port(rule, port) and _has_peer(rule.get(side), other)
        for spec in its
        for rule in spec.get(direction.lower(), ())
    )


def _has_port(rule: Object, port: int) -> bool:
    ports = rule.get("ports")
    return not ports or any(
        entry["port"] <= port <= entry.get("endPort", entry["port"]) for entry in ports
    )


def _has_peer(given: list[Any] | None, other: Peer) -> bool:
    return not given or any(_is_peer(entry, other) for entry in given)


def _is_peer(entry: Object, other: Peer) -> bool:
    if "ipBlock" in entry:
        block = entry["ipBlock"]
        if not other.address:  # a pod has an address too, in a range that is not known here
            return bool(block["cidr"] == "0.0.0.0/0")
        address = ipaddress.ip_address(other.address)
        outside = any(address in ipaddress.ip_network(net) for net in block.get("except", ()))
        return address in ipaddress.ip_network(block["cidr"]) and not outside
    if other.address:
        return False
    space = entry.get("namespaceSelector")
    in_space = other.namespace == _SPACE if space is None else matches(space, other.namespace)
    return in_space and matches(entry.get("podSelector", {}), other.labels)
