"""All checks, and the rules that they hold."""

from __future__ import annotations

from types import ModuleType

from tools.k8s_check import (
    access,
    disruption,
    drain,
    jobs,
    network,
    probes,
    references,
    resources,
    scaling,
    schema,
    security,
    services,
    setting_names,
    volumes,
)
from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Rendered

MODULES: tuple[ModuleType, ...] = (
    schema,
    services,
    references,
    volumes,
    resources,
    probes,
    drain,
    disruption,
    scaling,
    access,
    network,
    security,
    jobs,
    setting_names,
)

RULES: dict[str, str] = {name: text for module in MODULES for name, text in module.RULES.items()}
"""What must hold, by the name of the rule."""


def module_of(rule: str) -> ModuleType:
    """Return the check that holds a rule."""
    return next(module for module in MODULES if rule in module.RULES)


def findings(world: Rendered) -> list[Finding]:
    """Return all faults of a rendered overlay."""
    return [finding for module in MODULES for finding in module.check(world)]
