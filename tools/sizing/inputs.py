"""What the model reckons with: what was measured of a scene, what is assumed, what is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

MEASURED = Path(__file__).parent / "measured.json"
_HEADER_BYTES = 128
"""Of a .npy file, before its numbers."""

_FIXED_SIZE = ("manifests", "uploads", "thumbnails")
"""Bytes that do not grow with frames and pixels."""


@dataclass(frozen=True, slots=True)
class SceneCost:
    """What one scene costs, as benchmarks.sizing measured it on a whole suite.

    Attributes:
        frames: images of the scene.
        pixels: of one image.
        reconstruction_cpu_s: by service, of depth and export.
        completion_cpu_s: by service, of masks, fusion and another export.
        scene_bytes: by artifact, of what a reconstruction leaves.
        completed_bytes: by artifact, of what a completion adds.
        job_bytes: in PostgreSQL with indexes, densely packed, a job.
        job_rows: in all tables, a job.
        objects: in the bucket, of a completed scene.
    """

    frames: int
    pixels: int
    reconstruction_cpu_s: Mapping[str, float]
    completion_cpu_s: Mapping[str, float]
    scene_bytes: Mapping[str, float]
    completed_bytes: Mapping[str, float]
    job_bytes: float
    job_rows: float
    objects: float

    def scaled(self, frames: int, megapixels: float) -> SceneCost:
        """Return the cost of a scene of another size, in proportion to all its pixels.

        Rows in the database go with the number of progresses, ten a second at most, and stay.
        """
        factor = frames * megapixels * 1e6 / (self.frames * self.pixels)
        return SceneCost(
            frames,
            round(megapixels * 1e6),
            _times(self.reconstruction_cpu_s, factor),
            _times(self.completion_cpu_s, factor),
            _times(self.scene_bytes, factor),
            _times(self.completed_bytes, factor),
            self.job_bytes,
            self.job_rows,
            self.objects * frames / self.frames,
        )

    @property
    def bytes_to_view(self) -> float:
        """All tiles of the scene as they are sent; a visit that looks at everything."""
        return self.scene_bytes.get("exports/tiles (zstd)", 0.0)


def _times(values: Mapping[str, float], factor: float) -> dict[str, float]:
    return {name: value * (1 if name in _FIXED_SIZE else factor) for name, value in values.items()}


def measured_clips(path: Path = MEASURED) -> list[str]:
    """Return the names of the measured clips."""
    return sorted(json.loads(path.read_text()))


def measured_scene(clip: str, path: Path = MEASURED) -> SceneCost:
    """Read one measured clip.

    Raises:
        ValueError: it was not measured; the text names those that were.
    """
    clips = json.loads(path.read_text())
    if clip not in clips:
        raise ValueError(f"clip is {clip!r}; measured were {', '.join(sorted(clips))}")
    found = clips[clip]
    sizes: dict[str, float] = found["bytes"]
    frames = int(found["counts"]["registered_frames"])
    empty, after = found["empty"]["postgresql"], found["completion"]["postgresql"]
    jobs = 2  # a reconstruction and a completion
    prefix = "completion/"
    # masks belong to the completion, though they lie beside it
    added = {name: size for name, size in sizes.items() if name.startswith((prefix, "masks"))}
    left = {name: size for name, size in sizes.items() if name not in added}
    return SceneCost(
        frames=frames,
        pixels=round((sizes["depth"] / frames - _HEADER_BYTES) / 4),
        reconstruction_cpu_s=found["reconstruction"]["cpu_seconds"],
        completion_cpu_s=found["completion"]["cpu_seconds"],
        scene_bytes={name: size for name, size in left.items() if name != "uploads"},
        completed_bytes=added,
        job_bytes=(after["bytes"] - empty["bytes"]) / jobs,
        job_rows=(sum(after["rows"].values()) - sum(empty["rows"].values())) / jobs,
        objects=found["objects"],
    )


@dataclass(frozen=True, slots=True)
class Assumed:
    """What nobody has measured here: replace it by your own measurements.

    Attributes:
        da3_gpu_s: GPU-seconds of one frame by Depth Anything 3 (base), its share of loading the
            weights and of joining the chunks included.
        nerfiller_gpu_min: GPU-minutes of one completion by NeRFiller.
        efficiency: share of its cores that a pod at work really uses.
        bloat: PostgreSQL's files over their densely packed size.
        node_usable: share of a node's cores that is left to pods.
        upload_mb: of one video.
        writes_per_gateway_s: rows of jobs and events that one gateway replica writes in a second.
    """

    da3_gpu_s: float = 0.6
    nerfiller_gpu_min: float = 25.0
    efficiency: float = 0.8
    bloat: float = 3.0
    node_usable: float = 0.85
    upload_mb: float = 60.0
    writes_per_gateway_s: float = 50.0

    def __post_init__(self) -> None:
        for name in ("da3_gpu_s", "nerfiller_gpu_min", "bloat"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be more than 0")
        for name in ("efficiency", "node_usable"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 0 to 1, not 0")


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the suite.

    Attributes:
        scenes_per_day: clips that are reconstructed.
        depth: engine, "mvs" (CPU) or "da3" (GPU).
        completion: engine, "fusion" (CPU) or "nerfiller" (GPU).
        completed_share: of the scenes, 0 to 1.
        peak: arrivals of the busiest hour over those of an average one.
        wait_min: 95 of 100 jobs begin each step within so many minutes, in the busiest hour.
        views_per_scene: visits that load all of a scene, in its life.
        keep_days: how long scenes are kept.
        job_days: EPIPAR_GATEWAY_JOB_RETENTION_DAYS.
        upload_days: EPIPAR_GATEWAY_UPLOAD_RETENTION_HOURS, in days.
        node_cores: of one node for pods without a GPU.
        node_gib: its memory.
    """

    scenes_per_day: float
    depth: str = "mvs"
    completion: str = "fusion"
    completed_share: float = 0.5
    peak: float = 4.0
    wait_min: float = 10.0
    views_per_scene: float = 5.0
    keep_days: float = 365.0
    job_days: float = 30.0
    upload_days: float = 3.0
    node_cores: int = 16
    node_gib: int = 64
    assumed: Assumed = field(default_factory=Assumed)

    def __post_init__(self) -> None:
        if not 0 < self.scenes_per_day <= 10_000_000:
            raise ValueError(
                f"scenes_per_day is {self.scenes_per_day}; it must be more than 0, 10 million at most"
            )
        if self.depth not in ("mvs", "da3"):
            raise ValueError(f"depth is {self.depth!r}; it must be mvs or da3")
        if self.completion not in ("fusion", "nerfiller"):
            raise ValueError(f"completion is {self.completion!r}; it must be fusion or nerfiller")
        if not 0 <= self.completed_share <= 1:
            raise ValueError(f"completed_share is {self.completed_share}; it must be 0 to 1")
        if self.peak < 1:
            raise ValueError(f"peak is {self.peak}; it must be 1 or more")
        if self.wait_min < 0:
            raise ValueError(f"wait_min is {self.wait_min}; it must be 0 or more")
        if self.node_cores < 4 or self.node_gib < 16:
            raise ValueError(
                f"a node has {self.node_cores} cores and {self.node_gib} GiB; it must have 4 and 16"
            )
