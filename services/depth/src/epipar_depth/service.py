"""DepthService: translates between the wire and the depth engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing

import grpc

from epipar.depth.v1 import depth_service_pb2 as pb
from epipar.depth.v1 import depth_service_pb2_grpc as pb_grpc
from epipar_depth.convert import call_from_request, engine_to_message, result_to_message
from epipar_depth.installed import installed_engines
from epipar_depth.plan import ModelHosts, plan_depth
from epipar_kit.events import ProgressEvent
from epipar_kit.messages import progress_to_message
from epipar_kit.output import FinishedEvent, make_output
from epipar_kit.progress import throttle
from epipar_kit.store import ArtifactStore

NAME = pb.DESCRIPTOR.services_by_name["DepthService"].full_name


class DepthService(pb_grpc.DepthServiceServicer):
    """Serves the depth engines installed here over one store."""

    def __init__(
        self, store: ArtifactStore, processes: int, hosts: ModelHosts | None = None
    ) -> None:
        self._store = store
        self._processes = processes
        self._hosts = hosts

    async def Predict(  # noqa: N802 (gRPC name)
        self,
        request: pb.PredictRequest,
        context: grpc.aio.ServicerContext[pb.PredictRequest, AsyncIterator[pb.PredictResponse]],
    ) -> AsyncIterator[pb.PredictResponse]:
        """Make one scene and stream the progress."""
        call = call_from_request(request)
        plan = await asyncio.to_thread(plan_depth, self._store, call, self._processes, self._hosts)
        async with aclosing(throttle(make_output(self._store, plan))) as events:
            async for event in events:
                if isinstance(event, FinishedEvent):
                    result = await asyncio.to_thread(
                        result_to_message, self._store, call.output_uri, event
                    )
                    yield pb.PredictResponse(result=result)
                elif isinstance(event, ProgressEvent):
                    yield pb.PredictResponse(progress=progress_to_message(event))

    async def ListEngines(  # noqa: N802 (gRPC name)
        self,
        request: pb.ListEnginesRequest,
        context: grpc.aio.ServicerContext[pb.ListEnginesRequest, Awaitable[pb.ListEnginesResponse]],
    ) -> pb.ListEnginesResponse:
        """List the engines, the default first."""
        engines = await asyncio.to_thread(installed_engines)
        return pb.ListEnginesResponse(engines=[engine_to_message(engine) for engine in engines])
