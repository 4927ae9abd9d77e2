"""Who talks to whom: the whole table. Everything else is closed by the network policies."""

from __future__ import annotations

from dataclasses import dataclass, field

from tools.k8s_check.rendered import Rendered


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody outside the namespace.

    Attributes:
        namespace: labels of its namespace, empty where it is no pod.
        labels: of its pod.
        address: where it is no pod of this cluster.
        ports: that it is asked at.
    """

    namespace: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    address: str = ""
    ports: tuple[int, ...] = ()


_NAME = "kubernetes.io/metadata.name"

OUTSIDE: dict[str, Peer] = {
    "dns": Peer({_NAME: "kube-system"}, {"k8s-app": "kube-dns"}, "", (53,)),
    "prometheus": Peer(
        {_NAME: "monitoring"}, {"app.kubernetes.io/name": "prometheus"}, "", (9090,)
    ),
    "collector": Peer(
        {_NAME: "tracing"}, {"app.kubernetes.io/name": "otel-collector"}, "", (4317,)
    ),
    "stranger": Peer({_NAME: "other"}, {"app": "stranger"}, "", (80, 443, 5432, 6443, 8080)),
    "internet": Peer({}, {}, "203.0.113.10", (22, 25, 80, 443, 5432, 6443, 8333)),
    "metadata": Peer({}, {}, "169.254.169.254", (80, 443, 5432, 6443)),
}
"""Samples of what is outside; "metadata" is a node's own, with its credentials: never."""

Edge = tuple[str, str, int]
"""Who, to whom, at which port."""

DOOR: Edge = ("*", "envoy", 8080)

_COMPUTE = {"depth": 50051, "export": 50052, "inpaint": 50053}
_STORE_USERS = ("gateway", "depth", "export", "inpaint", "inpaint-run")


def wanted(world: Rendered) -> set[Edge]:
    """Return the edges that must be open, of the workloads that are there."""
    there = {item["metadata"]["name"] for item in world.workloads()}
    edges: set[Edge] = {
        ("envoy", "gateway", 50050),
        ("envoy", "gateway", 50060),
        ("envoy", "internet", 443),  # keys of who issues tokens
        ("gateway", "internet", 5432),  # PostgreSQL of a provider, or
        ("gateway", "postgresql", 5432),
        ("fetch-weights", "internet", 443),
        ("prometheus", "envoy", 9902),
        ("prometheus", "gateway", 9464),
    }
    for name, port in _COMPUTE.items():
        edges |= {("envoy", name, port), ("gateway", name, port), ("prometheus", name, 9464)}
    for name in _STORE_USERS:
        edges |= {(name, "internet", 443), (name, "seaweedfs", 8333)}
    edges |= {(name, "dns", 53) for name in there}
    edges |= {(peer, "envoy", 8080) for peer in OUTSIDE}
    if _is_traced(world):
        edges |= {(name, "collector", 4317) for name in ("envoy", "gateway", *_COMPUTE)}
    if "inpaint-run" in there:
        edges.add(("inpaint", "internet", 6443))  # the cluster's API
    # What is opened by address reaches strangers' pods of this cluster too, until it is narrowed.
    edges |= {(name, "stranger", port) for name, peer, port in edges if peer == "internet"}
    known = there | set(OUTSIDE)
    return {edge for edge in edges if edge[0] in known and edge[1] in known}


def _is_traced(world: Rendered) -> bool:
    return any("OTEL_EXPORTER_OTLP_ENDPOINT" in i["data"] for i in world.of_kind("ConfigMap"))
