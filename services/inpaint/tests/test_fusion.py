"""The fusion engine on a rendered room: what it must never touch, and how a run goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from epipar_inpaint.engine import CompletionRequest
from epipar_inpaint.fusion.engine import FusionEngine
from epipar_inpaint.painters import PAINTER_NAMES
from epipar_scene.folder import SceneFolder

from .fusion_case import VIEWS, Case, blobs, filled_by, read

KINDS = ("images", "depth", "confidence", "provenance")


@pytest.fixture(scope="module")
def blobbed(tmp_path_factory) -> Case:
    return Case(tmp_path_factory.mktemp("blobs"), blobs)


@pytest.fixture(scope="module")
def completed(blobbed) -> SceneFolder:
    made: SceneFolder = blobbed.complete()[0]
    return made


def files(folder: Path) -> dict[str, bytes]:
    return {
        f"{kind}/{path.name}": path.read_bytes()
        for kind in KINDS
        for path in sorted((folder / kind).iterdir())
    }


def test_known_pixels_never_change(blobbed, completed):
    scene = SceneFolder.open(blobbed.root / "scene")
    for frame, made, hole in zip(scene.frames, completed.frames, blobbed.holes, strict=True):
        assert (completed.image(made) == scene.image(frame))[~hole.color].all()
        assert (completed.depth(made) == scene.depth(frame))[~hole.depth].all()
        same = completed.confidence_bytes(made) == scene.confidence_bytes(frame)
        assert same[~hole.depth].all()
        assert not completed.provenance(made)[~hole.color & ~hole.depth].any()
        assert made.image_suffix == ".png"
        assert (made.cam_to_world == frame.cam_to_world).all()


def test_every_hole_is_filled_and_says_by_what(blobbed, completed):
    for made, hole in zip(completed.frames, blobbed.holes, strict=True):
        provenance = completed.provenance(made)
        assert (provenance[hole.color | hole.depth] > 0).all()
        assert provenance.max() <= 4
        assert (completed.depth(made)[hole.depth] > 0).all()
        confidence = completed.confidence_bytes(made)
        assert (confidence[hole.depth] > 0).all()
        assert confidence[hole.depth].max() <= np.median(confidence[~hole.depth])


def test_what_another_view_sees_is_taken_from_there(blobbed, completed):
    psnr, error = blobbed.telea()
    assert blobbed.psnr(completed) > psnr + 8
    assert blobbed.depth_error(completed) < 0.012
    share = np.mean(
        [
            (filled_by(completed, f)[h.color] == 1).mean()
            for f, h in zip(completed.frames, blobbed.holes, strict=True)
        ]
    )
    assert share > 0.85
    assert error > 0.012


def test_the_same_request_gives_the_same_bytes_with_any_number_of_workers(blobbed, completed):
    blobbed.complete("again", workers=3)
    assert files(blobbed.root / "again") == files(completed.root)


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(blobbed, completed):
    class StopError(Exception):
        pass

    for stage, after in (("reproject", 2), ("depth", 3), ("atlas", 1), ("paint", 3), ("write", 2)):

        def interrupt(at, done, total, unit, message="", stage=stage, after=after):
            if at == stage and done >= after:
                raise StopError

        with pytest.raises(StopError):
            blobbed.complete("resumed", seen=interrupt)
        assert not (blobbed.root / "resumed/scene.json").exists()
    _, result = blobbed.complete("resumed")
    assert result.resumed_views == VIEWS
    assert files(blobbed.root / "resumed") == files(completed.root)
    assert not list((blobbed.root / "resumed").glob(".*"))


def test_unfinished_work_of_another_hash_is_not_gone_on_from(blobbed):
    class StopError(Exception):
        pass

    def interrupt(at, done, total, unit, message=""):
        if at == "paint" and done >= 3:
            raise StopError

    with pytest.raises(StopError):
        blobbed.complete("other", seen=interrupt, digest="1")
    assert blobbed.complete("other", digest="2")[1].resumed_views == 0


def test_stages_come_in_their_order_and_count_up(blobbed):
    seen = []
    blobbed.complete(
        "staged", seen=lambda stage, done, total, *_: seen.append((stage, done, total))
    )
    order = list(dict.fromkeys(stage for stage, _, _ in seen))
    assert order == ["align", "reproject", "planes", "depth", "colors", "atlas", "paint", "write"]
    for stage in order:
        done = [d for s, d, _ in seen if s == stage]
        assert done == sorted(done)
        assert done[-1] == next(t for s, _, t in reversed(seen) if s == stage)


def test_previews_are_pictures_inside_the_output(blobbed):
    shown = []
    request = CompletionRequest(
        blobbed.root / "scene",
        (blobbed.root / "masks").resolve(),
        blobbed.root / "shown",
        "0" * 64,
        "complete",
    )

    def preview(path: Path) -> None:
        shown.append(read(path).shape)
        assert path.is_relative_to(request.output)

    FusionEngine().complete(request, lambda *_: None, preview)
    assert shown
    assert all(min(shape[:2]) > 50 for shape in shown)


def test_it_says_what_it_is():
    capabilities = FusionEngine().capabilities
    assert not capabilities.needs_gpu
    assert capabilities.painters == PAINTER_NAMES
