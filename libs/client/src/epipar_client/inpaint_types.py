"""What the inpaint service answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from epipar_client.types import Artifact

Provenance: TypeAlias = Literal[
    "unspecified", "observed", "reprojected", "plane", "free", "painted", "diffusion"
]


@dataclass(frozen=True, slots=True)
class FrameHoles:
    """How much one frame lacks; all shares 0 to 1.

    Attributes:
        frame: name of the frame, for example "frame_00001".
        color_hole_share: share of its pixels that are holes in colour.
        depth_hole_share: share of its pixels that are holes in depth.
        seen_share: share of its hole pixels that another view sees.
    """

    frame: str
    color_hole_share: float
    depth_hole_share: float
    seen_share: float


@dataclass(frozen=True, slots=True)
class MaskResult:
    """A finished mask set.

    Attributes:
        mask_set_uri: store key of its folder.
        cached: it existed already and nothing was computed.
        frames: what each frame lacks, in the scene's order.
        color_hole_share: share of all pixels that are holes in colour, 0 to 1.
        depth_hole_share: share of all pixels that are holes in depth, 0 to 1.
        artifacts: masks.json and the overlay picture.
    """

    mask_set_uri: str
    cached: bool
    frames: tuple[FrameHoles, ...]
    color_hole_share: float
    depth_hole_share: float
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class CompleteResult:
    """A finished completion.

    Attributes:
        completion_uri: store key of the completion: a scene folder.
        cached: it existed already and nothing was computed.
        filled: pixels by where they come from.
        artifacts: completion.json, scene.json and transforms.json.
        stage_seconds: seconds by stage, of this call only.
    """

    completion_uri: str
    cached: bool
    filled: Mapping[Provenance, int]
    artifacts: tuple[Artifact, ...]
    stage_seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class CompletionEngine:
    """One way to complete a scene, as installed where the service runs."""

    name: str
    version: str
    description: str
    licence: str
    available: bool
    unavailable_reason: str
    needs_gpu: bool
    painters: tuple[str, ...]
