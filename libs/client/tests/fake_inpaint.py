"""A real grpc.aio InpaintService with invented answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from epipar.common.v1 import artifact_pb2
from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb2
from epipar.inpaint.v1 import inpaint_service_pb2_grpc as inpaint_grpc

from .fake_suite import abort, progress


class FakeInpaint(inpaint_grpc.InpaintServiceServicer):
    """InpaintService; a scene key that does not exist in its store is NOT_FOUND."""

    def __init__(self, store: Path | None = None) -> None:
        self.store = store
        self.requests: list[Any] = []

    def add_to(self, server: aio.Server) -> None:
        inpaint_grpc.add_InpaintServiceServicer_to_server(self, server)

    async def MaskIncomplete(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the contract's name
        self.requests.append(request)
        await self._check(request.scene_uri, context)
        await self._check(request.options.user_masks_uri, context)
        uri = f"{request.scene_uri}/masks/{request.mask_set or 'default'}"
        self._write(uri, "masks.json")
        yield inpaint_pb2.MaskIncompleteResponse(progress=progress("masking", 1, 1))
        frame = inpaint_pb2.FrameHoles(
            frame="frame_00001", color_hole_share=0.1, depth_hole_share=0.3, seen_share=0.5
        )
        artifact = artifact_pb2.Artifact(name="masks.json", uri=f"{uri}/masks.json", size_bytes=2)
        yield inpaint_pb2.MaskIncompleteResponse(
            result=inpaint_pb2.MaskIncompleteResult(
                mask_set_uri=uri,
                frames=[frame],
                color_hole_share=0.1,
                depth_hole_share=0.3,
                artifacts=[artifact],
            )
        )

    async def Complete(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the contract's name
        self.requests.append(request)
        await self._check(request.scene_uri, context)
        await self._check(request.fresh.user_masks_uri, context)
        uri = request.output_uri or f"{request.scene_uri}/completions/default"
        self._write(uri, "completion.json")
        self._write(uri, "scene.json")
        yield inpaint_pb2.CompleteResponse(progress=progress("filling", 1, 1))
        yield inpaint_pb2.CompleteResponse(preview=artifact_pb2.Artifact(name="preview.jpg"))
        counts = [
            inpaint_pb2.ProvenanceCount(provenance=provenance, pixels=pixels)
            for provenance, pixels in (
                (inpaint_pb2.PROVENANCE_REPROJECTED, 700),
                (inpaint_pb2.PROVENANCE_PLANE, 300),
            )
        ]
        yield inpaint_pb2.CompleteResponse(
            result=inpaint_pb2.CompleteResult(
                completion_uri=uri, filled=counts, stage_seconds={"filling": 2.5}
            )
        )

    async def ListEngines(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        engine = inpaint_pb2.Engine(
            name="fusion", version="1", available=True, painters=["exemplar"]
        )
        return inpaint_pb2.ListEnginesResponse(engines=[engine])

    async def _check(self, key: str, context: Any) -> None:
        if self.store is not None and key and not (self.store / key).exists():
            await abort(
                context,
                grpc.StatusCode.NOT_FOUND,
                "NOT_FOUND",
                f"{key!r} does not exist in the store",
            )

    def _write(self, uri: str, name: str) -> None:
        if self.store is not None:
            (self.store / uri).mkdir(parents=True, exist_ok=True)
            (self.store / uri / name).write_text(json.dumps({}))
