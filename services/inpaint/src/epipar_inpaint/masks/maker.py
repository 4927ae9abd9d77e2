"""Making a mask set: every frame's holes, then who sees them, the overlay, and masks.json last."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from epipar_inpaint.masks import seen
from epipar_inpaint.masks.holes import FrameData, Holes, find_holes
from epipar_inpaint.masks.mask_set import (
    MANIFEST,
    OVERLAY,
    SCHEMA_VERSION,
    has_holes,
    read_holes,
    write_holes,
)
from epipar_inpaint.masks.options import MaskOptions
from epipar_inpaint.masks.overlay import overlay_frames, write_overlay
from epipar_inpaint.masks.region_points import RegionPoints, points_in_regions
from epipar_inpaint.masks.user_masks import check_user_masks, read_user_mask
from epipar_inpaint.scenes import corrupt_artifacts, open_scene
from epipar_kit.events import Report
from epipar_scene.arrays import F32, U8
from epipar_scene.atomic import atomic_file
from epipar_scene.content_hash import content_hash
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.json_text import write_json_object

FORMAT_VERSION = 2
"""Raised when the same options give other masks; part of every content hash."""

_UNFINISHED = ".statistics"


@dataclass(frozen=True, slots=True)
class UserMasks:
    """A folder of masks that a person painted.

    Attributes:
        path: where it lies.
        uri: its store key.
        sha256: of its files.
    """

    path: Path
    uri: str
    sha256: str


@dataclass(frozen=True, slots=True)
class MaskRequest:
    """One mask set to make.

    Attributes:
        scene: a finished scene folder.
        output: folder to fill; finished frames of the same content_hash in it are gone on from.
        content_hash: as masks_hash gives it.
        options: what counts as missing.
        user_masks: None where nobody painted any.
        threads: most frames at a time.
    """

    scene: Path
    output: Path
    content_hash: str
    options: MaskOptions = field(default_factory=MaskOptions)
    user_masks: UserMasks | None = None
    threads: int = 1


@dataclass(frozen=True, slots=True)
class MaskResult:
    """A finished mask set; what it holds stands in masks.json.

    Attributes:
        stage_seconds: wall seconds by stage, this run only.
        resumed_frames: frames taken over from an interrupted run.
    """

    stage_seconds: dict[str, float]
    resumed_frames: int


@dataclass(frozen=True, slots=True)
class FrameStatistics:
    """How much one frame lacks, as shares of its pixels; of its hole pixels, who sees them.

    Attributes:
        frame: its name.
        color_hole_share: of all pixels.
        depth_hole_share: of all pixels.
        seen_share: of the hole pixels, those that another view sees; 0 where there is no hole.
    """

    frame: str
    color_hole_share: float
    depth_hole_share: float
    seen_share: float


def masks_hash(scene_hash: str, options: MaskOptions, user_masks_sha256: str | None) -> str:
    """Return the hash that stands for "this scene masked with these options"."""
    values = {"masks": FORMAT_VERSION, "user_masks": user_masks_sha256, **options.to_dict()}
    return content_hash(scene_hash, values)


def make_masks(request: MaskRequest, report: Report) -> MaskResult:
    """Make a mask set.

    Raises:
        InvalidInputError: a user mask is not what it must be.
        CorruptArtifactError: CORRUPT_ARTIFACT, a file of the scene is not what it must be.
    """
    maker = _Maker(request, open_scene(request.scene), report)
    if request.user_masks is not None:
        check_user_masks(request.user_masks.path, maker.folder.frames)
    with ThreadPoolExecutor(request.threads, thread_name_prefix="masks") as pool:
        try:
            return maker.run(pool)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


@dataclass(slots=True)
class _Maker:
    """One mask set on its way."""

    request: MaskRequest
    folder: SceneFolder
    report: Report
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, pool: Executor) -> MaskResult:
        """Make what is not made yet, and finish the set."""
        output = self.request.output
        frames = self.folder.frames
        todo = [i for i, frame in enumerate(frames) if not has_holes(output, frame)]
        region_points: RegionPoints | None = None
        if self.request.options.regions and todo:
            with self._stage("regions"):
                region_points = self._region_points(pool)
        with self._stage("masks"):
            self._each(pool, "masks", todo, lambda index: self._mask(index, region_points))
        with self._stage("statistics"):
            statistics = self._statistics(pool)
        with self._stage("overlay"):
            shown = [frames[i] for i in overlay_frames(len(frames))]
            write_overlay(output / OVERLAY, shown, self._pictured)
            self.report("overlay", 1, 1, "pictures", "")
        shutil.rmtree(output / _UNFINISHED, ignore_errors=True)
        write_json_object(output / MANIFEST, self._manifest(statistics))
        return MaskResult(dict(self.seconds), len(frames) - len(todo))

    def _region_points(self, pool: Executor) -> RegionPoints:
        """Collect what every view trusts of the regions, in the order of the views."""
        frames, options = self.folder.frames, self.request.options
        parts: list[F32] = [np.zeros((0, 4), np.float32)] * len(frames)

        def collect(index: int) -> None:
            frame = frames[index]
            with corrupt_artifacts():
                depth = self.folder.depth(frame)
                data = FrameData(frame, depth, self.folder.confidence_bytes(frame))
            parts[index] = points_in_regions(
                depth, data.is_sure(options), frame, options.regions, len(frames)
            )

        self._each(pool, "regions", list(range(len(frames))), collect)
        return RegionPoints(np.concatenate(parts))

    def _mask(self, index: int, region_points: RegionPoints | None) -> None:
        frame = self.folder.frames[index]
        painted = self.request.user_masks
        with corrupt_artifacts():
            data = FrameData(
                frame,
                self.folder.depth(frame),
                self.folder.confidence_bytes(frame),
                self.folder.sky(frame),
                None if painted is None else read_user_mask(painted.path, frame),
                None if region_points is None else region_points.nearest_depth(frame),
            )
        write_holes(self.request.output, frame, find_holes(data, self.request.options))

    def _statistics(self, pool: Executor) -> list[FrameStatistics]:
        frames = self.folder.frames
        shown = seen.ShownDepths(self._shown_depth)
        samples = seen.join_samples(
            list(pool.map(lambda i: seen.sample_frame(shown.get(i), frames[i]), range(len(frames))))
        )
        (self.request.output / _UNFINISHED).mkdir(exist_ok=True)

        def count(index: int) -> None:
            path = self._statistics_path(index)
            if path.exists():
                return
            frame = frames[index]
            holes = self._holes(frame)
            hole = holes.color | holes.depth
            chosen = seen.choose_sources(hole, frame, index, samples)
            sources = [(shown.get(source), frames[source]) for source in chosen]
            facts = FrameStatistics(
                frame.name,
                float(holes.color.mean()),
                float(holes.depth.mean()),
                seen.seen_share(hole, frame, sources),
            )
            with atomic_file(path) as stream:
                stream.write(json.dumps(asdict(facts)).encode())

        self._each(pool, "statistics", list(range(len(frames))), count)
        return [
            FrameStatistics(**json.loads(self._statistics_path(i).read_bytes()))
            for i in range(len(frames))
        ]

    def _statistics_path(self, index: int) -> Path:
        return self.request.output / _UNFINISHED / f"{index:05d}.json"

    def _shown_depth(self, index: int) -> F32:
        frame = self.folder.frames[index]
        with corrupt_artifacts():
            return seen.shown_depth(self.folder.depth(frame), self._holes(frame))

    def _holes(self, frame: Frame) -> Holes:
        return read_holes(self.request.output.resolve(), frame)

    def _pictured(self, frame: Frame) -> tuple[U8, Holes]:
        with corrupt_artifacts():
            return self.folder.image(frame), self._holes(frame)

    def _each(
        self, pool: Executor, stage: str, indices: list[int], work: Callable[[int], None]
    ) -> None:
        """Run work on frames, as many at a time as the pool has threads, and tell the progress."""
        total = len(self.folder.frames)
        done = total - len(indices)
        self.report(stage, done, total, "frames", "")
        for future in as_completed([pool.submit(work, index) for index in indices]):
            future.result()
            done += 1
            self.report(stage, done, total, "frames", "")

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 3)

    def _manifest(self, statistics: list[FrameStatistics]) -> dict[str, Any]:
        request, painted = self.request, self.request.user_masks
        pixels = [frame.shape[0] * frame.shape[1] for frame in self.folder.frames]
        total = sum(pixels)

        def share(name: str) -> float:
            counted = zip(statistics, pixels, strict=True)
            return float(sum(getattr(facts, name) * count for facts, count in counted) / total)

        overlay = (request.output / OVERLAY).read_bytes()
        return {
            "schema_version": SCHEMA_VERSION,
            "content_hash": request.content_hash,
            "scene": {
                "name": self.folder.root.name,
                "content_hash": self.folder.info.content_hash,
            },
            "options": request.options.to_dict(),
            "user_masks": None
            if painted is None
            else {"uri": painted.uri, "sha256": painted.sha256},
            "color_hole_share": share("color_hole_share"),
            "depth_hole_share": share("depth_hole_share"),
            "frames": [asdict(facts) for facts in statistics],
            "artifacts": [
                {
                    "name": OVERLAY,
                    "uri": OVERLAY,
                    "media_type": "image/jpeg",
                    "size_bytes": len(overlay),
                    "sha256": hashlib.sha256(overlay).hexdigest(),
                }
            ],
            "timings": dict(self.seconds),
        }
