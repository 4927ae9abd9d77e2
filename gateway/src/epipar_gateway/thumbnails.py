"""A small picture of each scene, made once its depth is there."""

from __future__ import annotations

import asyncio
import io

import structlog
from PIL import Image

from epipar.common.v1 import artifact_pb2
from epipar_gateway.plans import JobPlan, StepPlan
from epipar_kit.errors import EpiparError
from epipar_kit.messages import stored_artifact_to_message
from epipar_kit.store import ArtifactStore

log = structlog.get_logger(__name__)

MAX_SIDE_PX = 640
QUALITY = 82


class Thumbnails:
    """Makes thumbnails/{scene}.jpg of a scene's middle frame."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    async def __call__(self, plan: JobPlan, step: StepPlan) -> list[artifact_pb2.Artifact]:
        """Make the picture after the step "depth"; a job does not fail for want of it."""
        if step.method != "Predict":
            return []
        try:
            return [await asyncio.to_thread(self._make, plan.scene)]
        except (EpiparError, OSError, ValueError, Image.DecompressionBombError) as error:
            log.warning("thumbnail_failed", scene=plan.scene, error=str(error))
            return []

    def _make(self, scene_id: str) -> artifact_pb2.Artifact:
        names = sorted(self._store.list(f"scenes/{scene_id}/images"))
        if not names:
            raise ValueError("the scene has no images")
        with self._store.open(names[len(names) // 2]) as file, Image.open(file) as image:
            image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
            data = io.BytesIO()
            image.convert("RGB").save(data, "JPEG", quality=QUALITY, progressive=True)
        stored = self._store.write(f"thumbnails/{scene_id}.jpg", data.getvalue())
        return stored_artifact_to_message(stored)
