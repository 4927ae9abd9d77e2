"""The engine "nerfiller-upstream": its commands, its dataset, its progress, what it writes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

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


def calls_of(request: CompletionRequest) -> list[list[str]]:
    """Return the command lines so far, in order."""
    lines = (request.output / ".nerfiller-upstream" / "calls.txt").read_text().splitlines()
    return [json.loads(line) for line in lines]


def broken(request: CompletionRequest, method: str) -> Path:
    """Have a method fail; what it left is then still there to be looked at."""
    work = request.output / ".nerfiller-upstream"
    work.mkdir(exist_ok=True)
    mark = work / f"break-{method}"
    mark.touch()
    return mark


def test_its_two_methods_run_one_after_the_other_with_their_true_names(programs, request_of):
    request = request_of(nerfiller_iterations=500, dataset_update=100, views_per_update=8)
    work = request.output / ".nerfiller-upstream"
    mark = broken(request, "grid-prior-du")
    with pytest.raises(WorkerDiedError, match="ns-train grid-prior-du ended with exit code 3"):
        complete(request)

    def wanted(method: str, stage: str, iterations: int, more: list[str]) -> list[str]:
        return [
            *("ns-train", method, "--data", f"{work}/data", "--output-dir", f"{work}/runs"),
            *("--experiment-name", "scene", "--timestamp", stage, "--vis", "tensorboard"),
            *("--max-num-iterations", str(iterations), "--machine.seed", "3"),
            *("--pipeline.model.camera-optimizer.mode", "off", *more),
            *("nerfstudio-data", "--eval-mode", "all", "--depth-unit-scale-factor", "1.0"),
        ]

    update = [
        # The first stage's own checkpoints; the iterations come on top of its 30,000,
        *("--load-dir", f"{work}/runs/scene/nerfacto-nerfiller/first_fit/nerfstudio_models"),
        *("--pipeline.edit-rate", "100", "--pipeline.edit-num", "8"),
        # and strength is at its lowest at their end.
        *("--pipeline.edit-iters", "500", "--pipeline.rgb-inpaint-device", "cuda:0"),
    ]
    assert calls_of(request) == [
        wanted("nerfacto-nerfiller", "first_fit", 30_000, []),
        wanted("grid-prior-du", "grid_prior", 500, update),
    ]
    mark.unlink()
    complete(request)  # goes on: the first stage is not run again


def test_what_it_reads_has_a_mask_and_a_depth_for_every_frame(programs, request_of, masked_room):
    request = request_of()
    broken(request, "grid-prior-du")
    with pytest.raises(WorkerDiedError):
        complete(request)
    data = request.output / ".nerfiller-upstream" / "data"
    frames = json.loads((data / "transforms.json").read_text())["frames"]
    scene, masks = SceneFolder.open(masked_room), MaskSet.open(masked_room / "masks" / "ball")
    entries = {Path(entry["file_path"]).stem: entry for entry in frames}
    assert sorted(entries) == sorted(frame.name for frame in scene.frames)
    for frame in scene.frames:
        entry, holes = entries[frame.name], masks.holes(frame)
        assert holes.color.any()
        mask = np.asarray(Image.open(data / entry["mask_path"]))
        assert np.array_equal(mask, np.where(holes.color, 0, 255))  # 0 = hole
        depth = np.load(data / entry["depth_file_path"])
        assert np.array_equal(depth, np.where(holes.depth, 0, scene.depth(frame)))
        kept = (masked_room / frame.image_path).read_bytes()
        assert (data / entry["file_path"]).read_bytes() == kept


def test_the_second_stage_is_what_is_rendered(programs, request_of):
    request = request_of()
    (programs / "ns-render").write_text("#!/bin/sh\nexit 5\n")
    with pytest.raises(WorkerDiedError, match="ns-render dataset ended with exit code 5"):
        complete(request)
    work = request.output / ".nerfiller-upstream"
    programs.joinpath("ns-render").write_text(
        f'#!/bin/sh\necho "$@" > {work}/rendered; exec "{sys.executable}" "{FAKE}" ns-render "$@"\n'
    )
    shown = []
    UpstreamEngine().complete(
        request,
        lambda stage, *_: (
            shown.append((work / "rendered").read_text().split()) if stage == "write" else None
        ),
        no_preview,
    )
    assert shown[0] == [
        *("dataset", "--load-config", f"{work}/runs/scene/grid-prior-du/grid_prior/config.yml"),
        *("--output-path", f"{work}/renders", "--split", "train", "--image-format", "png"),
        *("--rendered-output-names", "rgb", "raw-depth"),
    ]


def test_a_stage_that_ended_is_not_run_again(programs, request_of):
    request = request_of()
    broken(request, "grid-prior-du")
    with pytest.raises(WorkerDiedError):
        complete(request)
    with pytest.raises(WorkerDiedError):
        complete(request)
    methods = [call[1] for call in calls_of(request)]
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
    broken(request, "individual-inpaint-du")
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
