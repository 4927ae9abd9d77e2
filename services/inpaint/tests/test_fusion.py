"""The fusion engine on rendered rooms: what it must never touch, and how near to the truth it comes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from epipar_inpaint.engine import CompletionOptions, CompletionRequest, CompletionResult, Intent
from epipar_inpaint.fusion.engine import FusionEngine
from epipar_inpaint.masks.holes import Holes
from epipar_inpaint.masks.mask_set import write_holes
from epipar_inpaint.painters import PAINTER_NAMES
from epipar_kit.errors import CorruptArtifactError, InvalidInputError
from epipar_scene.arrays import F32, U8
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame

from .rooms import SKY, Picture, View, make_room

VIEWS = 6
KINDS = ("images", "depth", "confidence", "provenance")


class Case:
    """A room on disk with holes in it, and its truth."""

    def __init__(
        self,
        root: Path,
        holes: Callable[[int, View], Holes],
        *,
        intent: Intent = "complete",
        disturb: Callable[[int, F32], F32] | None = None,
        views: int = VIEWS,
        outdoor: bool = False,
    ) -> None:
        self.root = root
        self.intent: Intent = intent
        self.holes: list[Holes] = []

        def edit(number: int, view: View) -> tuple[U8, F32, F32]:
            made = holes(number, view)
            self.holes.append(made)
            image = np.where(made.color[..., None], 255, view.seen.image).astype(np.uint8)
            depth = np.where(made.depth, 0, view.seen.depth).astype(np.float32)
            if disturb is not None:
                depth = disturb(number, depth)
            return image, depth, np.where(depth > 0, 0.9, 0).astype(np.float32)

        self.room = make_room(root / "scene", seed=4, views=views, edit=edit, outdoor=outdoor)
        for view, hole in zip(self.room.views, self.holes, strict=True):
            write_holes(root / "masks", view.frame, hole)

    def complete(
        self,
        name: str = "out",
        *,
        seed: int = 0,
        workers: int = 1,
        seen: Callable[..., None] | None = None,
        painter: str = "exemplar",
        digest: str = "0",
    ) -> tuple[SceneFolder, CompletionResult]:
        request = CompletionRequest(
            self.root / "scene",
            (self.root / "masks").resolve(),
            self.root / name,
            digest * 64,
            self.intent,
            CompletionOptions(seed, painter),
            workers,
        )
        report = seen if seen is not None else lambda *_: None
        result = FusionEngine().complete(request, report, lambda _: None)
        return SceneFolder.open(self.root / name), result

    def truth(self, view: View) -> Picture:
        return view.behind if self.intent == "remove" else view.seen

    def depth_error(self, made: SceneFolder) -> float:
        """Mean relative error in depth holes."""
        errors = []
        for frame, view, hole in zip(made.frames, self.room.views, self.holes, strict=True):
            true = self.truth(view).depth
            inside = hole.depth & (true > 0)
            errors.append(np.abs(made.depth(frame)[inside] / true[inside] - 1))
        return float(np.concatenate(errors).mean())

    def psnr(self, made: SceneFolder) -> float:
        squares = [
            ((made.image(frame).astype(float) - self.truth(view).image) ** 2)[hole.color]
            for frame, view, hole in zip(made.frames, self.room.views, self.holes, strict=True)
        ]
        return float(10 * np.log10(255**2 / np.concatenate(squares).mean()))

    def telea(self) -> tuple[float, float]:
        """PSNR and mean relative depth error of inpainting every frame by itself."""
        squares, errors = [], []
        scene = SceneFolder.open(self.root / "scene")
        for frame, view, hole in zip(scene.frames, self.room.views, self.holes, strict=True):
            truth = self.truth(view)
            mask = hole.color.astype(np.uint8)
            painted = cv2.inpaint(scene.image(frame), mask, 4, cv2.INPAINT_TELEA).astype(float)
            squares.append(((painted - truth.image) ** 2)[hole.color])
            inverse = np.where(scene.depth(frame) > 0, 1 / np.maximum(scene.depth(frame), 0.1), 0)
            levels = (inverse * 6000).astype(np.uint16)
            filled = cv2.inpaint(levels, hole.depth.astype(np.uint8), 4, cv2.INPAINT_TELEA)
            inside = hole.depth & (truth.depth > 0)
            found = 6000 / np.maximum(filled.astype(float), 1)
            errors.append(np.minimum(np.abs(found / np.maximum(truth.depth, 0.1) - 1), 1)[inside])
        mean = np.concatenate(squares).mean()
        error = np.concatenate(errors)
        return float(10 * np.log10(255**2 / mean)), float(error.mean()) if len(error) else 0.0


def blobs(number: int, view: View) -> Holes:
    """Blobs at random: what one view lacks, another has."""
    grains = np.random.default_rng(number).standard_normal(view.seen.depth.shape)
    noise = cv2.GaussianBlur(grains, (0, 0), 5.0)
    hole = noise > np.quantile(noise, 0.88)
    return Holes(hole, hole & (view.seen.depth > 0))


def ball(number: int, view: View) -> Holes:
    grown = cv2.dilate(view.ball.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return Holes(grown, grown)


def wall_patch(number: int, view: View) -> Holes:
    """A piece of the back wall that no view has seen."""
    rays = view.frame.intrinsics
    x, y = np.meshgrid(np.arange(rays.width) + 0.5, np.arange(rays.height) + 0.5)
    local = np.stack([(x - rays.cx) / rays.fx, (y - rays.cy) / rays.fy, np.ones_like(x)], axis=2)
    pose = view.frame.cam_to_world
    points = (local * view.seen.depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]
    hole = np.linalg.norm(points - np.array([0.1, -0.4, 4.6]), axis=2) < 0.6
    return Holes(hole, hole)


@pytest.fixture(scope="module")
def blobbed(tmp_path_factory) -> Case:
    return Case(tmp_path_factory.mktemp("blobs"), blobs)


@pytest.fixture(scope="module")
def completed(blobbed) -> SceneFolder:
    made: SceneFolder = blobbed.complete()[0]
    return made


def filled_by(made: SceneFolder, frame: Frame) -> U8:
    provenance = made.provenance(frame)
    assert provenance is not None
    return provenance


def read(path: Path) -> U8:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return np.asarray(picture, np.uint8)


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


def test_a_surface_that_nobody_saw_continues_its_plane_in_every_view(tmp_path):
    case = Case(tmp_path, wall_patch)
    made, result = case.complete()
    assert case.depth_error(made) < min(0.015, case.telea()[1])
    assert result.filled["painted"] > 0.9 * sum(hole.color.sum() for hole in case.holes)


def test_an_object_taken_away_shows_what_is_behind_it(tmp_path):
    case = Case(tmp_path, ball, intent="remove")
    made, _ = case.complete()
    psnr, error = case.telea()
    assert case.depth_error(made) < 0.3 * error
    assert case.psnr(made) > psnr + 4


def test_the_wall_behind_a_missing_object_is_not_taken_for_it(tmp_path):
    taken = {}
    for intent in ("complete", "remove"):
        case = Case(tmp_path / intent, ball, intent=intent)
        made, _ = case.complete()
        shares = [
            (filled_by(made, frame)[view.ball] == 1).mean()
            for frame, view in zip(made.frames, case.room.views, strict=True)
        ]
        taken[intent] = float(np.mean(shares))
    assert taken["remove"] > 0.85
    assert taken["complete"] < 0.5 * taken["remove"]


def test_depth_alone_is_filled_where_colour_is_known(tmp_path):
    def depth_only(number, view):
        hole = wall_patch(number, view).depth | blobs(number, view).depth
        return Holes(np.zeros(hole.shape, bool), hole)

    case = Case(tmp_path, depth_only)
    made, result = case.complete()
    assert result.filled["painted"] == 0
    for frame, view in zip(made.frames, case.room.views, strict=True):
        assert (made.image(frame) == view.seen.image).all()
    assert case.depth_error(made) < 0.02


def test_colour_alone_is_filled_where_depth_is_known(tmp_path):
    def color_only(number, view):
        hole = blobs(number, view).color
        return Holes(hole, np.zeros(hole.shape, bool))

    case = Case(tmp_path, color_only)
    made, _ = case.complete()
    for frame, view in zip(made.frames, case.room.views, strict=True):
        assert (made.depth(frame) == view.seen.depth).all()
    assert case.psnr(made) > case.telea()[0] + 8


def test_sky_stays_sky(tmp_path):
    case = Case(tmp_path, blobs, outdoor=True)
    made, _ = case.complete()
    for frame, view in zip(made.frames, case.room.views, strict=True):
        sky = view.seen.ids == SKY
        assert sky.any()
        found = made.sky(frame)
        assert found is not None
        assert found[sky].all()
        assert not made.depth(frame)[sky].any()
        assert not made.confidence(frame)[sky].any()
        away = np.abs(made.image(frame)[sky].astype(int) - view.seen.image[sky])
        assert away.mean() < 2  # no ground is painted into it


@pytest.mark.parametrize(
    "disturb",
    [
        pytest.param(lambda n, d: (d * (1 + 0.03 * np.sin(7 * n))).astype(np.float32), id="scales"),
        pytest.param(
            lambda n, d: (
                d * (1 + 0.01 * np.random.default_rng(n).standard_normal(d.shape))
            ).astype(np.float32),
            id="noise",
        ),
    ],
)
def test_wrong_depth_costs_little(tmp_path, disturb):
    case = Case(tmp_path, blobs, disturb=disturb)
    made, _ = case.complete()
    psnr, _ = case.telea()
    assert case.psnr(made) > psnr + 6
    assert case.depth_error(made) < 0.03


def test_wrong_poses_cost_little(tmp_path):
    case = Case(tmp_path, blobs)
    content = json.loads((tmp_path / "scene/transforms.json").read_text())
    random = np.random.default_rng(0)
    for frame in content["frames"]:
        pose = np.array(frame["transform_matrix"])
        axis = random.standard_normal(3)
        turn = cv2.Rodrigues(axis / np.linalg.norm(axis) * np.radians(0.2))[0]
        pose[:3, :3] = turn @ pose[:3, :3]
        way = random.standard_normal(3)
        pose[:3, 3] += 0.01 * way / np.linalg.norm(way)
        frame["transform_matrix"] = pose.tolist()
    (tmp_path / "scene/transforms.json").write_text(json.dumps(content))
    made, _ = case.complete()
    psnr, error = case.telea()
    assert case.psnr(made) > psnr + 6
    assert case.depth_error(made) < error


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


def test_a_scene_without_holes_comes_back_as_it_was(tmp_path):
    def none(number, view):
        nothing = np.zeros(view.seen.depth.shape, bool)
        return Holes(nothing, nothing)

    case = Case(tmp_path, none, views=2)
    made, result = case.complete()
    assert not any(result.filled.values())
    for frame, view in zip(made.frames, case.room.views, strict=True):
        assert (made.image(frame) == view.seen.image).all()
        assert (made.depth(frame) == view.seen.depth).all()


def test_one_view_alone_is_completed(tmp_path):
    case = Case(tmp_path, wall_patch, views=1)
    made, _ = case.complete()
    assert case.depth_error(made) < 0.02


def test_views_without_any_depth_are_painted(tmp_path):
    def everything(number, view):
        hole = blobs(number, view).color
        return Holes(hole, np.ones(hole.shape, bool))

    case = Case(tmp_path, everything, views=2)
    made, result = case.complete()
    assert result.filled["painted"] == sum(hole.color.sum() for hole in case.holes)
    assert not any(made.depth(frame).any() for frame in made.frames)


def test_views_of_different_sizes_are_completed_together(tmp_path):
    case = Case(tmp_path, blobs, views=4)
    scene = SceneFolder.open(tmp_path / "scene")
    small = tmp_path / "small"
    shutil.copytree(tmp_path / "scene", small)
    _shrink(small, scene.frames[1], tmp_path / "masks")
    case.room = replace(case.room, root=small)
    shutil.rmtree(tmp_path / "scene")
    small.rename(tmp_path / "scene")
    made, result = case.complete()
    assert made.frames[1].shape == (60, 80)
    assert result.filled["reprojected"] > 0.7 * sum(result.filled.values())


def _shrink(root: Path, frame: Frame, masks: Path) -> None:
    """Halve one frame of a scene and its masks, in place."""
    size = (frame.intrinsics.width // 2, frame.intrinsics.height // 2)
    for path in (
        root / frame.image_path,
        root / frame.confidence_path,
        masks / f"color/{frame.name}.png",
        masks / f"depth/{frame.name}.png",
    ):
        picture = read(path)
        cv2.imwrite(str(path), cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST))
    depth = np.load(root / frame.depth_path)
    np.save(root / frame.depth_path, cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST))
    content = json.loads((root / "transforms.json").read_text())
    keys = ("w", "h", "fl_x", "fl_y", "cx", "cy")
    for entry in content["frames"]:
        factor = 0.5 if frame.name in entry["file_path"] else 1
        entry.update({key: type(content[key])(content[key] * factor) for key in keys})
    for key in keys:
        del content[key]
    (root / "transforms.json").write_text(json.dumps(content))


def test_wrong_masks_and_options_are_refused_with_typed_errors(tmp_path):
    case = Case(tmp_path, blobs, views=2)
    with pytest.raises(InvalidInputError, match="oil") as refused:
        case.complete(painter="oil")
    assert refused.value.reason == "BAD_OPTION"
    mask = tmp_path / "masks/color/frame_00002.png"
    levels = read(mask)
    for broken in (np.where(levels == 0, 128, levels).astype(np.uint8), levels[:-2]):
        cv2.imwrite(str(mask), broken)
        with pytest.raises(CorruptArtifactError) as corrupt:
            case.complete()
        assert corrupt.value.reason == "CORRUPT_ARTIFACT"
        assert not (tmp_path / "out/scene.json").exists()
    mask.unlink()
    with pytest.raises(CorruptArtifactError):
        case.complete()


def test_it_says_what_it_is():
    capabilities = FusionEngine().capabilities
    assert not capabilities.needs_gpu
    assert capabilities.painters == PAINTER_NAMES
