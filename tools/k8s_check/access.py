"""Nobody may do more with the cluster's API than its work needs."""

from __future__ import annotations

from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Object, Rendered, name_of, pod_of

RULES = {
    "role-too-wide": "a Role allows what is listed here, no verb more",
    "role-cluster-wide": "nobody of ours has rights beyond the namespace",
    "binding-unknown": "a RoleBinding's role and accounts exist",
    "account-default": "every workload has an account of its own",
    "token-mounted": "a token is mounted where a Role is bound, and nowhere else",
}

ALLOWED: dict[str, set[tuple[str, str, str]]] = {
    "inpaint": {
        *(("batch", "jobs", verb) for verb in ("create", "get", "list", "watch", "delete")),
        *(("", "pods", verb) for verb in ("get", "list", "watch")),
        ("batch", "cronjobs/inpaint-run", "get"),
    }
}
"""Who may do what: group, resource (with a name where only that one), verb."""


def check(world: Rendered) -> Iterator[Finding]:
    """Yield rights that are too many, and tokens without a use."""
    for item in world.of_kind("ClusterRole", "ClusterRoleBinding"):
        yield Finding("role-cluster-wide", name_of(item), "rights must end at the namespace")
    bound: set[str] = set()
    for binding in world.of_kind("RoleBinding"):
        yield from _binding(world, binding, bound)
    owners: dict[str, str] = {}
    for item in world.workloads():
        pod, subject = pod_of(item), name_of(item)
        account = pod.get("serviceAccountName", "default")
        if account == "default" or owners.setdefault(account, subject) != subject:
            yield Finding("account-default", subject, f"shares the account {account!r}")
        if pod.get("automountServiceAccountToken", True) != (account in bound):
            wanted = str(account in bound).lower()
            yield Finding(
                "token-mounted", subject, f"automountServiceAccountToken must be {wanted}"
            )


def _binding(world: Rendered, binding: Object, bound: set[str]) -> Iterator[Finding]:
    role = world.find("Role", binding["roleRef"]["name"])
    if role is None or binding["roleRef"]["kind"] != "Role":
        yield Finding("binding-unknown", name_of(binding), f"names {binding['roleRef']}")
        return
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in _named(rule)
        for verb in rule["verbs"]
    }
    for subject in binding["subjects"]:
        name = subject["name"]
        bound.add(name)
        if world.find("ServiceAccount", name) is None:
            yield Finding("binding-unknown", name_of(binding), f"there is no account {name!r}")
        for group, resource, verb in sorted(granted - ALLOWED.get(name, set())):
            yield Finding(
                "role-too-wide", name_of(role), f"lets {name} {verb} {resource}.{group or 'core'}"
            )


def _named(rule: Object) -> list[str]:
    names = rule.get("resourceNames")
    resources: list[str] = rule["resources"]
    if not names:
        return resources
    return [f"{resource}/{name}" for resource in resources for name in names]
