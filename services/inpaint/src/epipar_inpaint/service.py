"""InpaintService: translates between the wire, the mask maker and the completion engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing

import grpc

from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar.inpaint.v1 import inpaint_service_pb2_grpc as pb_grpc
from epipar_inpaint.completion import PREVIEW_STAGE
from epipar_inpaint.convert import (
    completion_call_from_request,
    completion_result_to_message,
    engine_to_message,
    fields_of_fresh_masks,
    mask_call_from_message,
    mask_result_to_message,
)
from epipar_inpaint.installed import installed_engines
from epipar_inpaint.masks.mask_set import DEFAULT_NAME
from epipar_inpaint.plan import CompletionPlan, plan_completion, plan_masks
from epipar_inpaint.previews import Previews
from epipar_kit.errors import InvalidInputError
from epipar_kit.events import ProgressEvent
from epipar_kit.messages import progress_to_message, stored_artifact_to_message
from epipar_kit.output import FinishedEvent, make_output
from epipar_kit.progress import throttle
from epipar_kit.store import ArtifactStore
from epipar_kit.tidy import to_the_end

NAME = pb.DESCRIPTOR.services_by_name["InpaintService"].full_name


class InpaintService(pb_grpc.InpaintServiceServicer):
    """Serves masks and completions of the scenes of one store."""

    def __init__(self, store: ArtifactStore, threads: int) -> None:
        self._store = store
        self._threads = threads

    async def MaskIncomplete(  # noqa: N802 (gRPC name)
        self,
        request: pb.MaskIncompleteRequest,
        context: grpc.aio.ServicerContext[
            pb.MaskIncompleteRequest, AsyncIterator[pb.MaskIncompleteResponse]
        ],
    ) -> AsyncIterator[pb.MaskIncompleteResponse]:
        """Make one mask set and stream the progress."""
        if not request.scene_uri:
            raise InvalidInputError(
                "BAD_REQUEST", "scene_uri", "scene_uri is empty; name a finished scene folder"
            )
        plan = await asyncio.to_thread(
            plan_masks,
            self._store,
            request.scene_uri,
            request.mask_set or DEFAULT_NAME,
            mask_call_from_message(request.options),
            self._threads,
        )
        async with aclosing(throttle(make_output(self._store, plan))) as events:
            async for event in events:
                if isinstance(event, FinishedEvent):
                    result = await asyncio.to_thread(
                        mask_result_to_message, self._store, plan.output_uri, event
                    )
                    yield pb.MaskIncompleteResponse(result=result)
                elif isinstance(event, ProgressEvent):
                    yield pb.MaskIncompleteResponse(progress=progress_to_message(event))

    async def Complete(  # noqa: N802 (gRPC name)
        self,
        request: pb.CompleteRequest,
        context: grpc.aio.ServicerContext[pb.CompleteRequest, AsyncIterator[pb.CompleteResponse]],
    ) -> AsyncIterator[pb.CompleteResponse]:
        """Complete one scene, after its masks where they are asked for, and stream the progress."""
        with fields_of_fresh_masks():
            call = completion_call_from_request(request)
            previews = Previews(self._store, call.output_uri)
            plan = await asyncio.to_thread(
                plan_completion, self._store, call, self._threads, previews.set_folder
            )
            try:
                async with aclosing(self._complete(plan, previews)) as responses:
                    async for response in responses:
                        yield response
            finally:
                await to_the_end(previews.remove())

    async def _complete(
        self, plan: CompletionPlan, previews: Previews
    ) -> AsyncGenerator[pb.CompleteResponse, None]:
        seconds: dict[str, float] = {}
        if plan.fresh_masks is not None:
            async with aclosing(throttle(make_output(self._store, plan.fresh_masks))) as events:
                async for event in events:
                    if isinstance(event, FinishedEvent):
                        seconds.update(event.result.get("stage_seconds", {}))
                    elif isinstance(event, ProgressEvent):
                        yield pb.CompleteResponse(progress=progress_to_message(event))
        shown = 0
        last = ProgressEvent("starting", 0, 0, "")
        async with aclosing(throttle(make_output(self._store, plan.completion))) as events:
            async for event in events:
                if isinstance(event, FinishedEvent):
                    result = await asyncio.to_thread(
                        completion_result_to_message,
                        self._store,
                        plan.completion.output_uri,
                        event,
                        seconds,
                    )
                    yield pb.CompleteResponse(result=result)
                elif isinstance(event, ProgressEvent) and event.stage != PREVIEW_STAGE:
                    last = event
                    yield pb.CompleteResponse(progress=progress_to_message(event))
                elif isinstance(event, ProgressEvent) and event.done > shown:
                    shown = event.done
                    artifact = await previews.show(event.message)
                    if artifact is not None:
                        yield pb.CompleteResponse(preview=stored_artifact_to_message(artifact))
                else:  # a heartbeat that repeats a preview: repeat the progress instead
                    yield pb.CompleteResponse(progress=progress_to_message(last))

    async def ListEngines(  # noqa: N802 (gRPC name)
        self,
        request: pb.ListEnginesRequest,
        context: grpc.aio.ServicerContext[pb.ListEnginesRequest, Awaitable[pb.ListEnginesResponse]],
    ) -> pb.ListEnginesResponse:
        """List the engines, the default first."""
        engines = await asyncio.to_thread(installed_engines)
        return pb.ListEnginesResponse(engines=[engine_to_message(engine) for engine in engines])
