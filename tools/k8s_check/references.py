"""Everything that is named exists: configuration, secrets, claims, accounts, priorities."""

from __future__ import annotations

from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Container, Object, Rendered, name_of, pod_of

RULES = {
    "reference-unknown": "a ConfigMap, Secret, claim, account or priority that is named exists",
    "key-unknown": "a key that is named is in its ConfigMap or Secret",
    "config-unused": "a generated ConfigMap or Secret is read by somebody",
    "namespace-differs": "all objects are in the namespace epipar",
}

NAMESPACE = "epipar"

GIVEN_SECRETS = {
    "epipar-database": {"url"},
    "epipar-store": {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"},
    "epipar-envoy-tls": {"tls.crt", "tls.key"},
}
"""Secrets that an operator makes, with their keys: docs/operate/cluster.md."""

_READ_BY_OTHERS = {"epipar-dashboard"}  # by Grafana's sidecar, by its label
_CLUSTER_WIDE = {"Namespace", "PriorityClass", "ResourceFlavor", "ClusterQueue"}


def check(world: Rendered) -> Iterator[Finding]:
    """Yield what is named and is not there, and what is there and is not named."""
    used: set[tuple[str, str]] = set()
    for container in world.containers():
        yield from _environment(world, container, used)
    for item in world.workloads():
        yield from _pod(world, item, used)
    for item in world.of_kind("TriggerAuthentication"):
        for target in item["spec"].get("secretTargetRef", ()):
            yield from _keyed(world, name_of(item), "Secret", target["name"], target["key"], used)
    for kind in ("ConfigMap", "Secret"):
        for item in world.of_kind(kind):
            name = item["metadata"]["name"]
            if (kind, name) not in used and name not in _READ_BY_OTHERS:
                yield Finding("config-unused", name_of(item), "nobody reads it")
    for item in world.objects:
        namespace = item["metadata"].get("namespace")
        if item["kind"] not in _CLUSTER_WIDE and namespace != NAMESPACE:
            yield Finding(
                "namespace-differs", name_of(item), f"is in {namespace!r}, not in {NAMESPACE!r}"
            )


def _environment(
    world: Rendered, container: Container, used: set[tuple[str, str]]
) -> Iterator[Finding]:
    for source in container.spec.get("envFrom", ()):
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if field in source:
                yield from _named(world, container.name, kind, source[field]["name"], used)
    for variable in container.spec.get("env", ()):
        given = variable.get("valueFrom", {})
        for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if field in given:
                name, key = given[field]["name"], given[field]["key"]
                yield from _keyed(world, container.name, kind, name, key, used)


def _pod(world: Rendered, item: Object, used: set[tuple[str, str]]) -> Iterator[Finding]:
    pod, subject = pod_of(item), name_of(item)
    yield from _named(world, subject, "ServiceAccount", pod.get("serviceAccountName", "default"))
    yield from _named(world, subject, "PriorityClass", pod.get("priorityClassName", "(none)"))
    for volume in pod.get("volumes", ()):
        if "configMap" in volume:
            yield from _named(world, subject, "ConfigMap", volume["configMap"]["name"], used)
        if "secret" in volume:
            yield from _named(world, subject, "Secret", volume["secret"]["secretName"], used)
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]["claimName"]
            yield from _named(world, subject, "PersistentVolumeClaim", claim)


def _named(
    world: Rendered, subject: str, kind: str, name: str, used: set[tuple[str, str]] | None = None
) -> Iterator[Finding]:
    if used is not None:
        used.add((kind, name))
    if world.find(kind, name) is None and not (kind == "Secret" and name in GIVEN_SECRETS):
        yield Finding("reference-unknown", subject, f"there is no {kind} {name!r}")


def _keyed(
    world: Rendered, subject: str, kind: str, name: str, key: str, used: set[tuple[str, str]]
) -> Iterator[Finding]:
    yield from _named(world, subject, kind, name, used)
    there = world.find(kind, name)
    keys = GIVEN_SECRETS.get(name, set()) if kind == "Secret" else set()
    if there is not None:
        keys = {*there.get("data", {}), *there.get("stringData", {})}
    if key not in keys:
        yield Finding("key-unknown", subject, f"{kind} {name!r} has no key {key!r}")
