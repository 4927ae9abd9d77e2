"""Every server is probed, where it answers."""

from __future__ import annotations

from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Container, Object, Rendered

RULES = {
    "probe-missing": "a server has a startup, a readiness and a liveness probe",
    "probe-port": "a probe asks a port that the container has",
    "probe-kind": "a port named grpc is asked by gRPC",
    "probe-scheme": "HTTP is asked by HTTPS where TLS is on, and else not",
    "probe-harsh": "liveness gives at least 60 s: a busy server is no dead one",
}

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def check(world: Rendered) -> Iterator[Finding]:
    """Yield the faults of probes; Jobs have none."""
    for container in world.containers():
        if container.owner["kind"] in {"Job", "CronJob"}:
            continue
        for name in PROBES:
            probe = container.spec.get(name)
            if probe is None:
                yield Finding("probe-missing", container.name, f"has no {name}")
            else:
                yield from _probe(world, container, name, probe)


def _probe(world: Rendered, container: Container, name: str, probe: Object) -> Iterator[Finding]:
    ports = container.ports
    asked = next(
        (probe[kind]["port"] for kind in ("grpc", "httpGet", "tcpSocket") if kind in probe), None
    )
    if asked is not None and asked not in ports and asked not in ports.values():
        yield Finding(
            "probe-port", container.name, f"{name} asks {asked!r}; there are {sorted(ports)}"
        )
    if "grpc" in ports and "grpc" not in probe:
        yield Finding("probe-kind", container.name, f"{name} does not ask gRPC's health")
    if "httpGet" in probe:
        tls = "EPIPAR_ENVOY_TLS_CERT" in world.environment(container)
        wanted = "HTTPS" if tls else "HTTP"
        if probe["httpGet"].get("scheme", "HTTP") != wanted:
            yield Finding("probe-scheme", container.name, f"{name} must ask by {wanted}")
    if name == "livenessProbe":
        patience_s = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        if patience_s < 60:
            yield Finding(
                "probe-harsh", container.name, f"{name} kills after {patience_s} s; at least 60"
            )
