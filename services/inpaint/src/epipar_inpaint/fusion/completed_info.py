"""What a completed scene's scene.json says: the scene's own facts, and how it was completed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from epipar_inpaint.engine import CompletionRequest
from epipar_inpaint.fusion.alignment import Tolerances
from epipar_scene.scene_info import SceneEngine, SceneInfo

NAME = "fusion"
VERSION = "1.2.0"


def completed_info(
    given: SceneInfo,
    request: CompletionRequest,
    tolerances: Tolerances,
    timings: Mapping[str, float],
) -> SceneInfo:
    """Return scene.json of a completion.

    Args:
        given: that of the scene.
        request: what was asked for.
        tolerances: how far right values were allowed to be apart.
        timings: seconds of each stage.
    """
    options = {
        "intent": request.intent,
        "seed": request.options.seed,
        "painter": request.options.painter,
    }
    metrics = {
        **given.metrics,
        "completion_depth_tolerance": tolerances.depth,
        "completion_color_tolerance": tolerances.color,
    }
    return SceneInfo(
        content_hash=request.content_hash,
        source=given.source,
        engine=SceneEngine(NAME, VERSION),
        options=options,
        scale=given.scale,
        confidence_kind=given.confidence_kind,
        counts=given.counts,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        unregistered=given.unregistered,
        timings=dict(timings),
        metrics=metrics,
    )
