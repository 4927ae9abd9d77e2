"""Services lead to pods that exist, by ports that exist."""

from __future__ import annotations

from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Object, Rendered, name_of, pod_of

RULES = {
    "service-selects-nothing": "a Service selects the pods of exactly one workload",
    "service-port-unknown": "a Service's target is a named port of those pods",
    "statefulset-without-service": "a StatefulSet's serviceName is a headless Service",
    "grpc-behind-one-address": "a Service of gRPC is headless, so that calls are spread",
    "scrape-selects-nothing": "a ServiceMonitor finds Services, with its port",
}


def check(world: Rendered) -> Iterator[Finding]:
    """Yield the faults of Services and of what refers to them."""
    for service in world.of_kind("Service"):
        yield from _service(world, service)
    for item in world.of_kind("StatefulSet"):
        if world.find("Service", item["spec"]["serviceName"]) is None:
            yield Finding(
                "statefulset-without-service",
                name_of(item),
                f"serviceName is {item['spec']['serviceName']!r}; there is no such Service",
            )
    for monitor in world.of_kind("ServiceMonitor"):
        yield from _monitor(world, monitor)


def _service(world: Rendered, service: Object) -> Iterator[Finding]:
    spec = service["spec"]
    found = world.selected({"matchLabels": spec.get("selector", {})})
    if not spec.get("selector") or len(found) != 1:
        names = ", ".join(map(name_of, found)) or "nothing"
        yield Finding(
            "service-selects-nothing", name_of(service), f"selects {names}; it must be one workload"
        )
        return
    ports = {
        port["name"]: port["containerPort"]
        for container in pod_of(found[0])["containers"]
        for port in container.get("ports", ())
    }
    for port in spec["ports"]:
        target = port.get("targetPort", port["port"])
        if target not in ports:
            yield Finding(
                "service-port-unknown",
                name_of(service),
                f"targetPort is {target!r}; {name_of(found[0])} has {', '.join(sorted(ports))}",
            )
        if port.get("name") == "grpc" and spec.get("clusterIP") != "None":
            yield Finding("grpc-behind-one-address", name_of(service), "clusterIP must be None")


def _monitor(world: Rendered, monitor: Object) -> Iterator[Finding]:
    wanted = monitor["spec"]["selector"].get("matchLabels", {})
    found = [
        service
        for service in world.of_kind("Service")
        if wanted.items() <= service["metadata"].get("labels", {}).items()
    ]
    for endpoint in monitor["spec"]["endpoints"]:
        if not any(endpoint["port"] == p["name"] for s in found for p in s["spec"]["ports"]):
            yield Finding(
                "scrape-selects-nothing",
                name_of(monitor),
                f"no Service with {wanted} has a port {endpoint['port']!r}",
            )
