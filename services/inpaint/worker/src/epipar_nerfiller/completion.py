"""Writes the completed scene: known pixels as they were, holes as the field shows them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from epipar_nerfiller import __version__
from epipar_nerfiller.consistency import Agreement, agreement, agreement_share, witnessed_share
from epipar_nerfiller.holes import Holes, read_holes
from epipar_nerfiller.inpaint.noise import Tick
from epipar_nerfiller.job import Job
from epipar_scene.arrays import F32, U8
from epipar_scene.atomic import atomic_file
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.scene_info import SceneEngine
from epipar_scene.writer import SceneWriter

ENGINE = "nerfiller"
OBSERVED, FREE, DIFFUSION = 0, 3, 5
"""Provenance: seen; its depth continued by the field; its colour from the diffusion model."""

_MIN_ACCUMULATION = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Filling:
    """What the field shows in the N pixels of a view that lack colour or depth, row by row.

    Attributes:
        rgb: (N, 3) uint8.
        depth: (N,) float32 along the optical axis, scene units.
        accumulation: (N,) float32 opacity, 0..1.
    """

    rgb: U8
    depth: F32
    accumulation: F32

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as stream:
            np.savez(stream, rgb=self.rgb, depth=self.depth, accumulation=self.accumulation)

    @classmethod
    def empty(cls) -> Filling:
        """Return the filling of a view that lacks nothing."""
        none = np.zeros(0, np.float32)
        return cls(np.zeros((0, 3), np.uint8), none, none)

    @classmethod
    def load(cls, path: Path) -> Filling:
        """Read what save wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["rgb"], arrays["depth"], arrays["accumulation"])


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        filled: pixels by provenance.
        agreement: share of other views' votes that agree with what was filled.
        witnessed: share of the filled pixels that any other view voted on.
        held_out_agreement: the same over the views that taught nothing; NaN without them.
    """

    filled: Mapping[str, int]
    agreement: float
    witnessed: float
    held_out_agreement: float


class CompletionWriter:
    """Writes the completed views of a job, one after the other.

    Args:
        job: where to.
        scene: the scene.
        fillings: of every view, in the scene's order.
    """

    def __init__(self, job: Job, scene: SceneFolder, fillings: Sequence[Filling]) -> None:
        self._job = job
        self._scene = scene
        self._writer = SceneWriter(job.output)
        self._fillings = fillings
        self._depths = [
            completed_depth(scene.depth(frame), read_holes(job.masks, frame), filling)
            for frame, filling in zip(scene.frames, fillings, strict=True)
        ]

    def write(self, held_out: Sequence[bool], tick: Tick) -> Written:
        """Write all views; scene.json is the caller's, by finish."""
        counts = {"free": 0, "diffusion": 0}
        votes: list[Agreement] = []
        for index in range(len(self._scene.frames)):
            tick()
            votes.append(self._write_view(index, counts))
        held = [vote for vote, out in zip(votes, held_out, strict=True) if out]
        return Written(
            counts, agreement_share(votes), witnessed_share(votes), agreement_share(held)
        )

    def finish(self, timings: Mapping[str, float], metrics: Mapping[str, float]) -> None:
        """Write transforms.json and scene.json: now it is a scene."""
        finite = {name: value for name, value in metrics.items() if np.isfinite(value)}
        info = replace(
            self._scene.info,
            content_hash=self._job.content_hash,
            engine=SceneEngine(ENGINE, __version__),
            options={"intent": self._job.intent, "seed": self._job.seed},
            timings=dict(timings),
            metrics=finite,
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )
        frames = [_png_frame(frame) for frame in self._scene.frames]
        self._writer.finish(info, frames)

    def _write_view(self, index: int, counts: dict[str, int]) -> Agreement:
        frame, filling = self._scene.frames[index], self._fillings[index]
        holes = read_holes(self._job.masks, frame)
        depth = self._depths[index]
        image = self._scene.image(frame).copy()
        image[holes.color] = filling.rgb[holes.color[holes.any]]
        filled = holes.depth & (depth > 0)
        vote = agreement(self._scene.frames, self._depths, index, filled)
        confidence = self._scene.confidence(frame)
        confidence[holes.depth] = 0
        confidence[filled] = vote.confidence * filling.accumulation[filled[holes.any]]
        provenance = np.zeros(depth.shape, np.uint8)
        provenance[filled] = FREE
        provenance[holes.color] = DIFFUSION
        self._writer.write_image(frame.name, image, ".png")
        self._writer.write_depth(frame.name, depth, confidence)
        sky = self._scene.sky(frame)
        if sky is not None:
            self._writer.write_sky(frame.name, sky & (depth <= 0))
        self._writer.write_provenance(frame.name, provenance)
        counts["free"] += int((filled & ~holes.color).sum())
        counts["diffusion"] += int(holes.color.sum())
        return vote


def completed_depth(depth: F32, holes: Holes, filling: Filling) -> F32:
    """Return the (H, W) depth with the holes filled where the field is opaque, 0 elsewhere."""
    result = depth.copy()
    solid = filling.accumulation >= _MIN_ACCUMULATION
    filled = np.where(solid & np.isfinite(filling.depth), filling.depth, np.float32(0))
    result[holes.depth] = filled[holes.depth[holes.any]]
    return result


def _png_frame(frame: Frame) -> Frame:
    return Frame(
        frame.name, frame.intrinsics, frame.cam_to_world, frame.source_frame, image_suffix=".png"
    )
