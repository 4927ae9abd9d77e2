"""Every overlay and component of k8s/ keeps every rule, and every rule catches its fault."""

from __future__ import annotations

import copy

import pytest

from tests.k8s.mutants import MUTANTS, Mutant
from tests.k8s.worlds import world
from tools.k8s_check.checks import RULES, findings, module_of
from tools.k8s_check.render import COMPONENTS_ON_CPU, OVERLAYS
from tools.k8s_check.rendered import Rendered


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_keeps_every_rule(overlay: str):
    assert findings(world(overlay)) == []


@pytest.mark.parametrize("component", COMPONENTS_ON_CPU)
def test_a_component_fits_on_an_overlay(component: str):
    assert findings(world(f"cpu + {component}")) == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.rule}: {m.what}")
def test_a_fault_is_caught_by_its_rule(mutant: Mutant):
    changed = Rendered(copy.deepcopy(world(mutant.overlay).objects))
    mutant.change(changed)
    assert mutant.rule in {finding.rule for finding in module_of(mutant.rule).check(changed)}


def test_every_rule_is_proven_by_a_fault():
    assert set(RULES) == {mutant.rule for mutant in MUTANTS}
