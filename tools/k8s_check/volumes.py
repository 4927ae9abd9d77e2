"""What is mounted is declared, what is declared is mounted, and scratch is bounded."""

from __future__ import annotations

from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Container, Object, Rendered, amount, name_of, pod_of

RULES = {
    "mount-without-volume": "a mounted volume is declared",
    "volume-without-mount": "a declared volume is mounted",
    "scratch-unbounded": "an emptyDir has a sizeLimit",
    "scratch-over-limit": "scratch on disk fits into the limit of ephemeral storage",
    "scratch-over-volume": "the store's scratch fits into the volume that it lies in",
    "claim-not-shared": "a claim that several workloads mount has ReadWriteMany",
    "host-path": "nothing of the node is mounted",
}


def check(world: Rendered) -> Iterator[Finding]:
    """Yield the faults of volumes."""
    for item in world.workloads():
        yield from _pod(item)
    for container in world.containers():
        yield from _scratch(world, container)
    for claim in world.of_kind("PersistentVolumeClaim"):
        name = claim["metadata"]["name"]
        users = [item for item in world.workloads() if name in _claims(item)]
        if len(users) > 1 and claim["spec"]["accessModes"] != ["ReadWriteMany"]:
            yield Finding(
                "claim-not-shared",
                name_of(claim),
                f"is mounted by {', '.join(map(name_of, users))}; it must be ReadWriteMany",
            )


def _scratch(world: Rendered, container: Container) -> Iterator[Finding]:
    variables = world.environment(container)
    folder = variables.get("EPIPAR_SCRATCH_DIR")
    if folder is None:
        return
    mounts = {mount["mountPath"]: mount["name"] for mount in container.spec["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod_of(container.owner).get("volumes", ())}
    place = next((name for path, name in mounts.items() if folder.startswith(f"{path}/")), "")
    room = amount(volumes.get(place, {}).get("emptyDir", {}).get("sizeLimit", 0))
    most = amount(variables.get("EPIPAR_SCRATCH_MAX_BYTES", "50Gi"))
    if most > 0.9 * room:
        yield Finding(
            "scratch-over-volume",
            container.name,
            f"{folder} may hold {most:.0f} bytes; its volume takes {room:.0f}",
        )


def _claims(item: Object) -> set[str]:
    volumes = pod_of(item).get("volumes", ())
    return {
        v["persistentVolumeClaim"]["claimName"] for v in volumes if "persistentVolumeClaim" in v
    }


def _pod(item: Object) -> Iterator[Finding]:
    pod, subject = pod_of(item), name_of(item)
    volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
    templates = item["spec"].get("volumeClaimTemplates", ())
    declared = {*volumes, *(template["metadata"]["name"] for template in templates)}
    mounted = {
        mount["name"]
        for container in pod["containers"]
        for mount in container.get("volumeMounts", ())
    }
    for name in sorted(mounted - declared):
        yield Finding("mount-without-volume", subject, f"mounts {name!r}, which is not declared")
    for name in sorted(declared - mounted):
        yield Finding("volume-without-mount", subject, f"declares {name!r}, which is not mounted")
    scratch = 0.0
    for name, volume in volumes.items():
        if "hostPath" in volume:
            yield Finding("host-path", subject, f"{name!r} is a folder of the node")
        if "emptyDir" not in volume:
            continue
        if "sizeLimit" not in volume["emptyDir"]:
            yield Finding("scratch-unbounded", subject, f"{name!r} has no sizeLimit")
        elif volume["emptyDir"].get("medium") != "Memory":
            scratch += amount(volume["emptyDir"]["sizeLimit"])
    limit = sum(
        amount(container.get("resources", {}).get("limits", {}).get("ephemeral-storage", 0))
        for container in pod["containers"]
    )
    if scratch > limit:
        yield Finding(
            "scratch-over-limit",
            subject,
            f"may write {scratch:.0f} bytes; the limit is {limit:.0f}",
        )
