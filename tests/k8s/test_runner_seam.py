"""Long runs as Jobs are switched on in the overlays as soon as the inpaint service can make them."""

from __future__ import annotations

import pytest

from epipar_inpaint.settings import InpaintSettings
from tests.k8s.worlds import world

RUNNER = "EPIPAR_INPAINT_RUNNER"


@pytest.mark.parametrize("overlay", ["gpu", "gpu-mig", "kueue"])
def test_the_runner_is_on_where_the_service_has_one(overlay: str):
    seen = world(overlay)
    known = {InpaintSettings.variable(name) for name in InpaintSettings.model_fields}
    service = next(c for c in seen.containers() if c.owner["metadata"]["name"] == "inpaint")
    wanted = "kubernetes" if RUNNER in known else None  # then a line of components/inpaint-jobs
    assert seen.environment(service).get(RUNNER) == wanted


@pytest.mark.parametrize("overlay", ["cpu", "keda", "kind"])
def test_without_gpus_nobody_may_make_jobs(overlay: str):
    seen = world(overlay)
    assert list(seen.of_kind("Role", "RoleBinding")) == []
    service = next(c for c in seen.containers() if c.owner["metadata"]["name"] == "inpaint")
    assert RUNNER not in seen.environment(service)
