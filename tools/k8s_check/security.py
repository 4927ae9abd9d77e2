"""Pods are locked in, images are pinned, and the door is closed to strangers."""

from __future__ import annotations

from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Container, Object, Rendered, name_of, pod_of

RULES = {
    "runs-as-root": "a pod runs as a fixed user that is not root",
    "seccomp": "the runtime's own seccomp profile is on",
    "host-shared": "nothing of the host's processes or network is shared",
    "root-writable": "the root of a container is read-only",
    "escalation": "a container cannot gain privileges, and has no capability",
    "image-not-pinned": "an image has a digest or a version, never latest",
    "namespace-open": "the namespace refuses pods that break the restricted standard",
    "door-open": "the door has TLS and tokens, or no address outside the cluster",
}


def check(world: Rendered) -> Iterator[Finding]:
    """Yield the faults of security."""
    for item in world.workloads():
        yield from _pod(item)
    for container in world.containers():
        yield from _container(container)
        yield from _door(world, container)
    for space in world.of_kind("Namespace"):
        level = space["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce")
        if level != "restricted":
            yield Finding("namespace-open", name_of(space), f"enforces {level}")


def _pod(item: Object) -> Iterator[Finding]:
    pod, subject = pod_of(item), name_of(item)
    context = pod.get("securityContext", {})
    if not context.get("runAsNonRoot") or not context.get("runAsUser"):
        yield Finding("runs-as-root", subject, "needs runAsNonRoot and a runAsUser above 0")
    if context.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield Finding("seccomp", subject, "seccompProfile must be RuntimeDefault")
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield Finding("host-shared", subject, f"{name} is on")


def _container(container: Container) -> Iterator[Finding]:
    context = container.spec.get("securityContext", {})
    if not context.get("readOnlyRootFilesystem"):
        yield Finding("root-writable", container.name, "needs readOnlyRootFilesystem")
    capabilities = context.get("capabilities", {})
    if (
        context.get("allowPrivilegeEscalation", True)
        or context.get("privileged")
        or capabilities.get("drop") != ["ALL"]
        or capabilities.get("add")
    ):
        yield Finding(
            "escalation", container.name, "needs allowPrivilegeEscalation false and drop [ALL]"
        )
    if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False:
        yield Finding("runs-as-root", container.name, "overrides the pod's user")
    image: str = container.spec["image"]
    _, _, tag = image.rpartition("/")[2].partition(":")
    if "@sha256:" not in image and tag in {"", "latest"}:
        yield Finding("image-not-pinned", container.name, f"image is {image!r}")


def _door(world: Rendered, container: Container) -> Iterator[Finding]:
    variables = world.environment(container)
    if "EPIPAR_ENVOY_HOST" not in variables:
        return
    closed = {"EPIPAR_ENVOY_TLS_CERT", "EPIPAR_ENVOY_TLS_KEY", "EPIPAR_ENVOY_JWT_ISSUER"}
    open_by_choice = variables.get("EPIPAR_ENVOY_ALLOW_PUBLIC_WITHOUT_AUTH") == "true"
    outside = [
        name_of(service)
        for service in world.of_kind("Service")
        if container.owner in world.selected({"matchLabels": service["spec"].get("selector", {})})
        and service["spec"].get("type", "ClusterIP") != "ClusterIP"
    ]
    if open_by_choice and outside:
        yield Finding("door-open", container.name, f"is open to all who reach {outside[0]}")
    if not open_by_choice and not closed <= set(variables):
        missing = ", ".join(sorted(closed - set(variables)))
        yield Finding("door-open", container.name, f"{missing} is not set")
