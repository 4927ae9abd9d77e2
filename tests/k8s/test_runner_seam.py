"""Long runs as Jobs are switched on in the overlays as soon as the inpaint service can make them."""

from __future__ import annotations

import pytest

from epipar_inpaint.settings import InpaintSettings
from tools.k8s_check.render import render_named

RUNNER = "EPIPAR_INPAINT_RUNNER"


@pytest.mark.parametrize("overlay", ["gpu", "gpu-mig", "kueue"])
def test_the_runner_is_on_where_the_service_has_one(overlay: str):
    world = render_named(overlay)
    known = {InpaintSettings.variable(name) for name in InpaintSettings.model_fields}
    service = next(c for c in world.containers() if c.owner["metadata"]["name"] == "inpaint")
    wanted = "kubernetes" if RUNNER in known else None  # then a line of components/inpaint-jobs
    assert world.environment(service).get(RUNNER) == wanted


@pytest.mark.parametrize("overlay", ["cpu", "keda", "kind"])
def test_without_gpus_nobody_may_make_jobs(overlay: str):
    world = render_named(overlay)
    assert list(world.of_kind("Role", "RoleBinding")) == []
    service = next(c for c in world.containers() if c.owner["metadata"]["name"] == "inpaint")
    assert RUNNER not in world.environment(service)
