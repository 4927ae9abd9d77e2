"""Nodes can be emptied, and not of all pods at once."""

from __future__ import annotations

from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Object, Rendered, matches, name_of, pod_labels, pod_of
from tools.k8s_check.scaling import least_replicas

RULES = {
    "budget-missing": "every server of ours has a PodDisruptionBudget",
    "budget-selects-nothing": "a budget selects the pods of one workload",
    "budget-blocks": "a budget lets at least one pod go, else no node can be emptied",
    "spread-missing": "pods of one server are spread over nodes, by their own labels",
}

TRIAL = {"seaweedfs", "postgresql"}
"""Servers for trying out: one pod, no budget."""


def check(world: Rendered) -> Iterator[Finding]:
    """Yield the faults of budgets and of spreading."""
    budgets = list(world.of_kind("PodDisruptionBudget"))
    for budget in budgets:
        yield from _budget(world, budget)
    for item in world.of_kind("Deployment", "StatefulSet"):
        if item["metadata"]["name"] in TRIAL:
            continue
        labels = pod_labels(item)
        if not any(matches(budget["spec"]["selector"], labels) for budget in budgets):
            yield Finding("budget-missing", name_of(item), "no PodDisruptionBudget selects it")
        spread = pod_of(item).get("topologySpreadConstraints", ())
        if not any(matches(rule.get("labelSelector", {}), labels) for rule in spread):
            yield Finding("spread-missing", name_of(item), "no rule spreads its own pods")


def _budget(world: Rendered, budget: Object) -> Iterator[Finding]:
    spec = budget["spec"]
    found = world.selected(spec["selector"])
    if len(found) != 1:
        names = ", ".join(map(name_of, found)) or "nothing"
        yield Finding("budget-selects-nothing", name_of(budget), f"selects {names}")
        return
    replicas = least_replicas(world, found[0])
    kept, let_go = spec.get("minAvailable", 0), spec.get("maxUnavailable")
    if let_go == 0 or (let_go is None and kept >= replicas):
        yield Finding(
            "budget-blocks",
            name_of(budget),
            f"minAvailable {kept}, maxUnavailable {let_go} of {replicas} pods: none may go",
        )
