"""One completion from masks to completion.json: checks, the engine, checks again, the manifest last.

Whatever the engine is, what it is given is whole (masks of every frame, strictly black and white)
and what it leaves is too: a scene folder that opens, with provenance, in which no known pixel has
changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from epipar_inpaint.engine import CompletionOptions, CompletionRequest, CompletionResult, Intent
from epipar_inpaint.installed import make_engine
from epipar_inpaint.masks.mask_set import MaskSet
from epipar_inpaint.scenes import corrupt_artifacts, open_scene
from epipar_kit.errors import InvalidInputError
from epipar_kit.events import Report
from epipar_scene.content_hash import content_hash
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.json_text import write_json_object

FILE_NAME = "completion.json"
SCHEMA_VERSION = 1
FORMAT_VERSION = 1
"""Raised when the same request gives another completion; part of every content hash."""

PREVIEW_STAGE = "preview"
"""Stage of the events that carry a preview: the message is its path in the output folder."""
PREVIEW_PERIOD_S = 2.0
"""Previews that come faster are dropped: they would only crowd the progress out."""

PROVENANCE = {"reprojected": 1, "plane": 2, "free": 3, "painted": 4, "diffusion": 5}
"""What the values of provenance/*.png are called; 0 is observed."""

_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True)
class MaskSetName:
    """The mask set of a completion: its name, and the hash of what it holds."""

    name: str
    content_hash: str


@dataclass(frozen=True, slots=True)
class CompletionJob:
    """One completion as the job's process gets it.

    Attributes:
        request: what the engine gets.
        engine: its name.
        engine_version: its version when the completion was planned.
        mask_set: the masks.
    """

    request: CompletionRequest
    engine: str
    engine_version: str
    mask_set: MaskSetName


@dataclass(frozen=True, slots=True)
class _Counts:
    """Pixels: all, and those missing in colour and in depth."""

    pixels: int
    color: int
    depth: int

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(
            self.pixels + other.pixels, self.color + other.color, self.depth + other.depth
        )


def completion_hash(
    scene_hash: str,
    masks_hash: str,
    intent: Intent,
    engine: tuple[str, str],
    options: CompletionOptions,
) -> str:
    """Return the hash that stands for "this scene completed like this"; engine: name, version."""
    values = {
        "completion": FORMAT_VERSION,
        "masks": masks_hash,
        "intent": intent,
        "engine": list(engine),
        "seed": options.seed,
        "painter": options.painter,
        "extra": dict(options.extra),
    }
    return content_hash(scene_hash, values)


def run_completion(job: CompletionJob, report: Report) -> CompletionResult:
    """Complete a scene.

    Raises:
        InvalidInputError: BAD_OPTION, nothing is left to complete from.
        CorruptArtifactError: CORRUPT_ARTIFACT, a file of the scene or the masks is not what it
            must be.
        EpiparError: what the engine raises.
        RuntimeError: the engine's output is not a completed scene; a fault of the engine.
    """
    start_s = time.perf_counter()
    request = job.request
    scene = open_scene(request.scene)
    with corrupt_artifacts():
        masks = MaskSet.open(request.masks)
    counts = _checked_masks(scene, masks, request.workers, report)
    notes = _notes(counts, job.mask_set.name)
    for note in notes:
        report("nothing_missing", 1, 1, "scenes", note)
    check_s = time.perf_counter() - start_s
    result = make_engine(job.engine).complete(request, report, _preview(request.output, report))
    start_s = time.perf_counter()
    quality = _checked_output(job, scene, masks, counts, report)
    seconds = {
        "check_masks": round(check_s, 3),
        **{stage: round(spent, 3) for stage, spent in result.stage_seconds.items()},
        "check_output": round(time.perf_counter() - start_s, 3),
    }
    result = CompletionResult(result.filled, seconds, result.resumed_views)
    write_json_object(request.output / FILE_NAME, _manifest(job, scene, result, quality, notes))
    return result


def _checked_masks(scene: SceneFolder, masks: MaskSet, workers: int, report: Report) -> _Counts:
    def count(frame: Frame) -> _Counts:
        with corrupt_artifacts():
            holes = masks.holes(frame)
        return _Counts(
            holes.color.size, int(np.count_nonzero(holes.color)), int(np.count_nonzero(holes.depth))
        )

    total = _Counts(0, 0, 0)
    for counted in _each_frame(scene, workers, "check_masks", report, count):
        total += counted
    if total.pixels in (total.color, total.depth):
        what = "colour" if total.pixels == total.color else "depth"
        raise InvalidInputError(
            "BAD_OPTION",
            "mask_set",
            f"every pixel of every frame is a hole in {what}: nothing is left to complete from",
        )
    return total


def _notes(counts: _Counts, name: str) -> list[str]:
    if counts.color or counts.depth:
        return []
    return [f"mask set {name!r} has no hole: nothing is missing, the completion equals the scene"]


def _preview(output: Path, report: Report) -> Callable[[Path], None]:
    """Return what the engine tells its previews to: they travel as events of a stage of theirs."""
    sent, next_s = 0, time.monotonic()

    def preview(path: Path) -> None:
        nonlocal sent, next_s
        relative = path.resolve().relative_to(output.resolve()).as_posix()
        now_s = time.monotonic()
        if now_s >= next_s:
            sent, next_s = sent + 1, now_s + PREVIEW_PERIOD_S
            report(PREVIEW_STAGE, sent, 0, "pictures", relative)

    return preview


def _checked_output(
    job: CompletionJob, scene: SceneFolder, masks: MaskSet, counts: _Counts, report: Report
) -> dict[str, float]:
    """Open what the engine made and compare its known pixels; return quality figures."""
    made = SceneFolder.open(job.request.output)
    if made.transforms.has_masks:
        raise RuntimeError(f"engine {job.engine!r} wrote mask_path into a completed scene")
    if sorted(f.name for f in made.frames) != sorted(f.name for f in scene.frames):
        raise RuntimeError(f"engine {job.engine!r} did not write the frames of the scene")
    after = {frame.name: frame for frame in made.frames}

    def compare(frame: Frame) -> tuple[int, int]:
        done = after[frame.name]
        holes = masks.holes(frame)
        provenance = made.provenance(done)
        if provenance is None or provenance.max() > max(PROVENANCE.values()):
            raise RuntimeError(f"engine {job.engine!r} wrote no valid provenance of {frame.name}")
        before_depth, depth = scene.depth(frame), made.depth(done)
        color_changed = (scene.image(frame) != made.image(done)).any(axis=2) & ~holes.color
        depth_changed = (before_depth != depth) & (before_depth > 0) & ~holes.depth
        changed = int(np.count_nonzero(color_changed | depth_changed))
        if changed:
            raise RuntimeError(
                f"engine {job.engine!r} changed {changed} known pixels of {frame.name}"
            )
        is_open = holes.depth & (depth <= 0)
        return int(np.count_nonzero(is_open)), int(np.count_nonzero(provenance))

    open_depth = filled = 0
    for still_open, traced in _each_frame(
        scene, job.request.workers, "check_output", report, compare
    ):
        open_depth, filled = open_depth + still_open, filled + traced
    return {
        "color_hole_share": counts.color / counts.pixels,
        "depth_hole_share": counts.depth / counts.pixels,
        "filled_share": filled / counts.pixels,
        "open_depth_share": open_depth / counts.pixels,
    }


def _each_frame(
    scene: SceneFolder,
    workers: int,
    stage: str,
    report: Report,
    work: Callable[[Frame], _Out],
) -> list[_Out]:
    """Run work on every frame in threads, in order; what it returns must be small."""
    done = []
    with ThreadPoolExecutor(workers, thread_name_prefix=stage) as pool:
        for out in pool.map(work, scene.frames):
            done.append(out)
            report(stage, len(done), len(scene.frames), "frames", "")
    return done


def _manifest(
    job: CompletionJob,
    scene: SceneFolder,
    result: CompletionResult,
    quality: dict[str, float],
    notes: list[str],
) -> dict[str, Any]:
    request = job.request
    return {
        "schema_version": SCHEMA_VERSION,
        "content_hash": request.content_hash,
        "scene": {"name": scene.root.name, "content_hash": scene.info.content_hash},
        "mask_set": asdict(job.mask_set),
        "engine": {"name": job.engine, "version": job.engine_version},
        "intent": request.intent,
        "options": {
            "seed": request.options.seed,
            "painter": request.options.painter,
            "extra": dict(request.options.extra),
        },
        "filled": {name: int(result.filled.get(name, 0)) for name in PROVENANCE},
        "quality": quality,
        "notes": notes,
        "timings": dict(result.stage_seconds),
    }
