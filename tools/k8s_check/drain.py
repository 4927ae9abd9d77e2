"""The end of a pod is longer than what its program does in it."""

from __future__ import annotations

from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Rendered, name_of, pod_of

RULES = {
    "grace-too-short": "terminationGracePeriodSeconds covers preStop, the drain and tidying up",
    "no-pre-stop": "a server of ours leaves the list of addresses before it refuses calls",
}

TIDY_S = 10.0
"""What ended calls get after the drain (epipar_kit.server.END_GRACE_S), and some air."""


def check(world: Rendered) -> Iterator[Finding]:
    """Yield pods that would be killed in their drain."""
    for item in world.of_kind("Deployment", "StatefulSet"):
        grace_s = pod_of(item).get("terminationGracePeriodSeconds", 30)
        for container in world.containers():
            if container.owner is not item:
                continue
            variables = world.environment(container)
            drains = [float(v) for n, v in variables.items() if n.endswith("_GRACE_S")]
            if not drains:
                continue  # somebody else's program
            hook = container.spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {})
            stop_s = hook.get("seconds", 0)
            if stop_s < 1:
                yield Finding("no-pre-stop", container.name, "needs lifecycle.preStop.sleep")
            if grace_s < stop_s + max(drains) + TIDY_S:
                yield Finding(
                    "grace-too-short",
                    name_of(item),
                    f"grace is {grace_s} s; preStop {stop_s} s, drain {max(drains):g} s and "
                    f"{TIDY_S:g} s need more",
                )
