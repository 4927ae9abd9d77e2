"""The engine "nerfiller-upstream": its commands, its dataset, its progress, what it writes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epipar_inpaint.engine import CompletionOptions, CompletionRequest, CompletionResult
from epipar_inpaint.masks.mask_set import MaskSet
from epipar_inpaint.nerfiller import environment
from epipar_inpaint.nerfiller.event_files import last_step
from epipar_inpaint.nerfiller.upstream import UpstreamEngine
from epipar_inpaint.nerfiller.upstream_data import axial_from_ray
from epipar_kit.errors import EngineUnavailableError, InvalidInputError, WorkerDiedError
from epipar_scene import SceneFolder
from epipar_scene.cameras import Intrinsics

FAKE = Path(__file__).with_name("fake_nerfstudio.py")


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """An operator's environment: python, ns-train, ns-render."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python", "ns-train", "ns-render"):
        file = folder / name
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{FAKE}" {name} "$@"\n')
        file.chmod(0o755)
    monkeypatch.setenv(environment.UPSTREAM_PYTHON, str(folder / "python"))
    return folder


@pytest.fixture
def request_of(tmp_path, masked_room):
    (tmp_path / "out").mkdir()

    def make(**extra):
        return CompletionRequest(
            masked_room,
            masked_room / "masks" / "ball",
            tmp_path / "out",
            "ab" * 32,
            "remove",
            CompletionOptions(3, extra=extra),
        )

    return make


def no_preview(path: Path) -> None:
    raise AssertionError(f"there is no preview, but {path} came")


def complete(request: CompletionRequest) -> tuple[CompletionResult, list[Any]]:
    seen: list[Any] = []
    result = UpstreamEngine().complete(request, lambda *told: seen.append(told), no_preview)
    return result, seen


def test_its_two_methods_run_one_after_the_other_with_their_true_names(programs, request_of):
    request = request_of(nerfiller_iterations=500, dataset_update=100, views_per_update=8)
    calls = request.output / ".nerfiller-upstream" / "calls.txt"
    (calls.parent).mkdir()
    (calls.parent / "break-grid-prior-du").touch()
    with pytest.raises(WorkerDiedError, match="ns-train grid-prior-du ended with exit code 3"):
        complete(request)
    first, second = calls.read_text().splitlines()
    assert first.startswith("nerfacto-nerfiller --data")
    assert first.endswith("nerfstudio-data --eval-mode all")
    assert second.startswith("grid-prior-du --data")
    assert "--load-dir" in second
    assert "nerfacto-nerfiller/first_fit/nerfstudio_models" in second
    assert "--max-num-iterations 500" in second
    assert "--pipeline.edit-rate 100" in second
    assert "--pipeline.edit-num 8" in second
    (calls.parent / "break-grid-prior-du").unlink()
    complete(request)  # goes on: the first stage is not run again


def test_a_stage_that_ended_is_not_run_again(programs, request_of):
    request = request_of()
    work = request.output / ".nerfiller-upstream"
    work.mkdir()
    (work / "break-grid-prior-du").touch()
    with pytest.raises(WorkerDiedError):
        complete(request)
    with pytest.raises(WorkerDiedError):
        complete(request)
    methods = [line.split()[0] for line in (work / "calls.txt").read_text().splitlines()]
    assert methods == ["nerfacto-nerfiller", "grid-prior-du", "grid-prior-du"]


def test_what_it_renders_fills_the_holes_and_nothing_else(programs, request_of, masked_room):
    result, _ = complete(request_of())
    before, after = SceneFolder.open(masked_room), SceneFolder.open(request_of().output)
    masks = MaskSet.open(masked_room / "masks" / "ball")
    painted = 0
    for one, other in zip(before.frames, after.frames, strict=True):
        holes = masks.holes(one)
        painted += holes.color.sum()
        assert (after.image(other)[holes.color] == (0, 255, 0)).all()
        assert np.array_equal(after.image(other)[~holes.color], before.image(one)[~holes.color])
        assert np.array_equal(after.depth(other)[~holes.depth], before.depth(one)[~holes.depth])
        wanted = axial_from_ray(np.full(one.shape, 2.0, np.float32), one.intrinsics)
        np.testing.assert_allclose(after.depth(other)[holes.depth], wanted[holes.depth])
        assert np.array_equal(after.provenance(other) == 5, holes.color)
    assert result.filled["diffusion"] == painted
    assert not after.transforms.has_masks
    assert not list(after.root.glob(".nerfiller*"))


def test_progress_comes_from_the_event_files(programs, request_of):
    _, seen = complete(request_of(nerfiller_iterations=400))
    assert ("first_fit", 30_000, 30_000, "iterations") in seen
    assert ("grid_prior", 400, 400, "iterations") in seen
    assert [told[0] for told in seen][-1] == "write"


def test_the_individual_method_has_its_own_name(programs, request_of):
    request = request_of(inpaint_method="individual")
    work = request.output / ".nerfiller-upstream"
    work.mkdir()
    (work / "break-individual-inpaint-du").touch()
    with pytest.raises(WorkerDiedError, match="individual-inpaint-du"):
        complete(request)


def test_a_setting_that_it_does_not_have_is_refused(programs, request_of):
    with pytest.raises(InvalidInputError, match="model_id") as caught:
        complete(request_of(model_id="x/y"))
    assert caught.value.field == "options.nerfiller.model_id"


def test_an_environment_without_nerfstudio_is_unavailable(programs):
    (programs / "ns-train").unlink()
    with pytest.raises(EngineUnavailableError, match="without ns-train"):
        UpstreamEngine()


def test_event_files_are_read_to_their_last_whole_record(tmp_path):
    assert last_step(tmp_path) == 0
    (tmp_path / "events.out.tfevents.9").write_bytes(b"\xff" * 40)
    assert last_step(tmp_path) == 0


def test_ray_lengths_become_axial_depth():
    camera = Intrinsics(4, 2, 2.0, 2.0, 2.0, 1.0)
    depth = axial_from_ray(np.full((2, 4), 3.0, np.float32), camera)
    x, y = (0.5 - 2) / 2, (0.5 - 1) / 2
    assert depth[0, 0] == pytest.approx(3 / np.sqrt(1 + x * x + y * y))
