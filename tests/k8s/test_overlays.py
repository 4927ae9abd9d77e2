"""Every overlay and component of k8s/ keeps every rule, and every rule catches its fault."""

from __future__ import annotations

import copy
from functools import cache

import pytest

from tests.k8s.mutants import MUTANTS, Mutant
from tools.k8s_check.checks import RULES, findings, module_of
from tools.k8s_check.render import COMPONENTS_ON_CPU, OVERLAYS, render_named
from tools.k8s_check.rendered import Rendered


@cache
def _world(overlay: str) -> Rendered:
    return render_named(overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_keeps_every_rule(overlay: str):
    assert findings(_world(overlay)) == []


@pytest.mark.parametrize("component", COMPONENTS_ON_CPU)
def test_a_component_fits_on_an_overlay(component: str):
    assert findings(_world(f"cpu + {component}")) == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.rule}: {m.what}")
def test_a_fault_is_caught_by_its_rule(mutant: Mutant):
    world = Rendered(copy.deepcopy(_world(mutant.overlay).objects))
    mutant.change(world)
    assert mutant.rule in {finding.rule for finding in module_of(mutant.rule).check(world)}


def test_every_rule_is_proven_by_a_fault():
    assert set(RULES) == {mutant.rule for mutant in MUTANTS}
