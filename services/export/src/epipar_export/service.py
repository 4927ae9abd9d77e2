"""ExportService: translates between the wire and the exporter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc

from epipar.export.v1 import export_service_pb2 as pb
from epipar.export.v1 import export_service_pb2_grpc as pb_grpc
from epipar_export.convert import options_from_message, result_to_message
from epipar_export.plan import plan_export
from epipar_kit.errors import InvalidInputError
from epipar_kit.events import ProgressEvent
from epipar_kit.messages import progress_to_message
from epipar_kit.output import FinishedEvent, make_output
from epipar_kit.progress import throttle
from epipar_kit.store import ArtifactStore

NAME = pb.DESCRIPTOR.services_by_name["ExportService"].full_name


class ExportService(pb_grpc.ExportServiceServicer):
    """Serves exports of the scenes of one store."""

    def __init__(self, store: ArtifactStore, threads: int) -> None:
        self._store = store
        self._threads = threads

    async def Export(  # noqa: N802 (gRPC name)
        self,
        request: pb.ExportRequest,
        context: grpc.aio.ServicerContext[pb.ExportRequest, AsyncIterator[pb.ExportResponse]],
    ) -> AsyncIterator[pb.ExportResponse]:
        """Export one scene and stream the progress."""
        if not request.scene_uri:
            raise InvalidInputError(
                "BAD_REQUEST", "scene_uri", "scene_uri is empty; name a finished scene folder"
            )
        output_uri = request.output_uri or f"{request.scene_uri}/exports/default"
        options = options_from_message(request.options)
        plan = await asyncio.to_thread(
            plan_export, self._store, request.scene_uri, output_uri, options, self._threads
        )
        async with aclosing(throttle(make_output(self._store, plan))) as events:
            async for event in events:
                if isinstance(event, FinishedEvent):
                    result = await asyncio.to_thread(
                        result_to_message, self._store, output_uri, event
                    )
                    yield pb.ExportResponse(result=result)
                elif isinstance(event, ProgressEvent):
                    yield pb.ExportResponse(progress=progress_to_message(event))
