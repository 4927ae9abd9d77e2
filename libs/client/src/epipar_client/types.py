"""What calls answer with: progress and results as frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Scale: TypeAlias = Literal["unspecified", "metric", "arbitrary"]
ConfidenceKind: TypeAlias = Literal["unspecified", "PROBABILITY_5PCT", "SCORE"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call has come in the stage now running.

    Attributes:
        stage: name of the stage, for example "matching". Stages come in a fixed order.
        done: units of the stage that are done.
        total: units in all; 0 where that is not known yet.
        unit: what is counted, in the plural, for example "frames".
        message: one line for a person; may be empty.
    """

    stage: str
    done: int
    total: int
    unit: str
    message: str = ""

    @property
    def share(self) -> float | None:
        """Share of the stage that is done, 0 to 1; None where the total is not known."""
        return min(self.done / self.total, 1.0) if self.total > 0 else None


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file that a call has written to the store; `uri` is its key there."""

    name: str
    uri: str
    media_type: str
    size_bytes: int
    sha256: str
    lod_level: int | None = None


@dataclass(frozen=True, slots=True)
class SceneResult:
    """A finished scene.

    Attributes:
        scene_uri: store key of the scene folder.
        cached: it existed already and nothing was computed.
        input_frames: frames decoded from the input.
        selected_frames: frames that were chosen.
        registered_frames: frames with a pose and depth.
        resumed_frames: frames taken over from an interrupted run.
        unregistered_frames: chosen frames without a pose: index in the video, or file name.
        scale: what one unit of the scene is.
        confidence_kind: what confidence means in this scene.
        coverage: share of all pixels that have a depth, 0 to 1.
        reprojection_error_px: mean over the sparse points; 0 where the engine has none.
        stage_seconds: seconds by stage, of this call only.
        artifacts: scene.json and transforms.json.
    """

    scene_uri: str
    cached: bool
    input_frames: int
    selected_frames: int
    registered_frames: int
    resumed_frames: int
    unregistered_frames: tuple[str, ...]
    scale: Scale
    confidence_kind: ConfidenceKind
    coverage: float
    reprojection_error_px: float
    stage_seconds: Mapping[str, float]
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """One level of detail; `lod_level` 0 is the coarsest, `spacing` is in scene units."""

    name: str
    lod_level: int
    points: int
    spacing: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SurfaceLevel:
    """One level of detail of a surface; `lod_level` 0 is the coarsest."""

    name: str
    lod_level: int
    triangles: int
    vertices: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A finished export.

    Attributes:
        export_uri: store key of the export's folder.
        cached: it existed already and nothing was computed.
        levels: coarsest first; each level's points are among the next one's.
        artifacts: tileset.json, the GLBs, cloud.ply and export.json.
        source_points: points that the scene's depth maps gave.
        outlier_points: points removed as outliers.
        stage_seconds: seconds by stage, of this call only.
        notes: what a person should know about these files.
        surface_levels: of the surface, coarsest first; empty where none was asked for.
    """

    export_uri: str
    cached: bool
    levels: tuple[Level, ...]
    artifacts: tuple[Artifact, ...]
    source_points: int
    outlier_points: int
    stage_seconds: Mapping[str, float]
    notes: tuple[str, ...]
    surface_levels: tuple[SurfaceLevel, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine or a model can do, and what it needs (memory in MiB)."""

    needs_gpu: bool
    confidence_kind: ConfidenceKind
    scale: Scale
    poses_in: bool
    poses_out: bool
    sky: bool
    min_frames: int
    default_max_side_px: int
    memory_base_mib: int
    memory_per_image_mib: int


@dataclass(frozen=True, slots=True)
class Model:
    """Weights that an engine can use; `present` if they are on the service's machine."""

    name: str
    revision: str
    sha256: str
    licence: str
    present: bool
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to get depth, as installed where the service runs."""

    name: str
    version: str
    description: str
    licence: str
    available: bool
    unavailable_reason: str
    capabilities: Capabilities
    models: tuple[Model, ...]
