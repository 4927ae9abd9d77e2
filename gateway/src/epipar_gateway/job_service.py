"""JobService: translates between the wire, the jobs and their watchers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import aclosing

import grpc

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc
from epipar_gateway.ids import job_id_from, scene_id_from
from epipar_gateway.job_book import JobBook
from epipar_gateway.job_log import JobLog
from epipar_gateway.job_state import ENDED
from epipar_gateway.paging import page_from
from epipar_gateway.request_ids import request_key
from epipar_gateway.starts import JobStarts
from epipar_gateway.watch import WatchHub
from epipar_kit.errors import InvalidInputError

NAME = pb.DESCRIPTOR.services_by_name["JobService"].full_name
DEFAULT_PRIORITY = 50


class JobService(pb_grpc.JobServiceServicer):
    """Serves the jobs of this suite."""

    def __init__(self, starts: JobStarts, book: JobBook, log: JobLog, hub: WatchHub) -> None:
        self._starts = starts
        self._book = book
        self._log = log
        self._hub = hub

    async def StartReconstruction(  # noqa: N802 (gRPC name)
        self,
        request: pb.StartReconstructionRequest,
        context: grpc.aio.ServicerContext[
            pb.StartReconstructionRequest, Awaitable[pb.StartReconstructionResponse]
        ],
    ) -> pb.StartReconstructionResponse:
        """Queue depth and export of an upload."""
        key = request_key("StartReconstruction", request, request.request_id)
        job = await self._starts.reconstruction(request, key, _priority(request))
        return pb.StartReconstructionResponse(job=job)

    async def StartExport(  # noqa: N802 (gRPC name)
        self,
        request: pb.StartExportRequest,
        context: grpc.aio.ServicerContext[pb.StartExportRequest, Awaitable[pb.StartExportResponse]],
    ) -> pb.StartExportResponse:
        """Queue an export of a finished scene or completion."""
        key = request_key("StartExport", request, request.request_id)
        job = await self._starts.export(request, key, _priority(request))
        return pb.StartExportResponse(job=job)

    async def StartCompletion(  # noqa: N802 (gRPC name)
        self,
        request: pb.StartCompletionRequest,
        context: grpc.aio.ServicerContext[
            pb.StartCompletionRequest, Awaitable[pb.StartCompletionResponse]
        ],
    ) -> pb.StartCompletionResponse:
        """Queue masks, completion and export of a finished scene."""
        key = request_key("StartCompletion", request, request.request_id)
        job = await self._starts.completion(request, key, _priority(request))
        return pb.StartCompletionResponse(job=job)

    async def GetJob(  # noqa: N802 (gRPC name)
        self,
        request: pb.GetJobRequest,
        context: grpc.aio.ServicerContext[pb.GetJobRequest, Awaitable[pb.GetJobResponse]],
    ) -> pb.GetJobResponse:
        """Return one job."""
        return pb.GetJobResponse(job=await self._book.get(job_id_from(request.name)))

    async def ListJobs(  # noqa: N802 (gRPC name)
        self,
        request: pb.ListJobsRequest,
        context: grpc.aio.ServicerContext[pb.ListJobsRequest, Awaitable[pb.ListJobsResponse]],
    ) -> pb.ListJobsResponse:
        """Return a page of jobs."""
        scene = scene_id_from(request.scene) if request.scene else ""
        states = _known("states", request.states, pb.Job.State.values())
        kinds = _known("kinds", request.kinds, pb.Job.Kind.values())
        page = page_from(request.page_size, request.page_token, ["jobs", scene, states, kinds])
        jobs, token = await self._book.page_of(page, scene, states, kinds)
        return pb.ListJobsResponse(jobs=jobs, next_page_token=token)

    async def CancelJob(  # noqa: N802 (gRPC name)
        self,
        request: pb.CancelJobRequest,
        context: grpc.aio.ServicerContext[pb.CancelJobRequest, Awaitable[pb.CancelJobResponse]],
    ) -> pb.CancelJobResponse:
        """End a job that waits or runs."""
        return pb.CancelJobResponse(job=await self._book.cancel(job_id_from(request.name)))

    async def DeleteJob(  # noqa: N802 (gRPC name)
        self,
        request: pb.DeleteJobRequest,
        context: grpc.aio.ServicerContext[pb.DeleteJobRequest, Awaitable[pb.DeleteJobResponse]],
    ) -> pb.DeleteJobResponse:
        """Remove an ended job."""
        await self._book.delete(job_id_from(request.name))
        return pb.DeleteJobResponse()

    async def RetryJob(  # noqa: N802 (gRPC name)
        self,
        request: pb.RetryJobRequest,
        context: grpc.aio.ServicerContext[pb.RetryJobRequest, Awaitable[pb.RetryJobResponse]],
    ) -> pb.RetryJobResponse:
        """Queue a job that does what a failed or cancelled one was to do."""
        key = request_key("RetryJob", request, request.request_id)
        return pb.RetryJobResponse(job=await self._starts.again(job_id_from(request.name), key))

    async def WatchJob(  # noqa: N802 (gRPC name)
        self,
        request: pb.WatchJobRequest,
        context: grpc.aio.ServicerContext[pb.WatchJobRequest, AsyncIterator[pb.WatchJobResponse]],
    ) -> AsyncIterator[pb.WatchJobResponse]:
        """Replay a job's events, then follow it to its end."""
        job_id = job_id_from(request.name)
        job = await self._book.get(job_id)
        if not 0 <= request.after_sequence <= job.last_sequence:
            raise InvalidInputError(
                "BAD_REQUEST",
                "after_sequence",
                f"after_sequence is {request.after_sequence}; {request.name!r} has the events 1 to "
                f"{job.last_sequence}, so it must be 0 to {job.last_sequence}",
            )
        if job.state in ENDED and request.after_sequence == job.last_sequence:
            return
        events = self._hub.watch(self._log, job_id, request.after_sequence)
        async with aclosing(events):
            async for event in events:
                yield event


def _priority(
    request: pb.StartReconstructionRequest | pb.StartExportRequest | pb.StartCompletionRequest,
) -> int:
    if not request.HasField("priority"):
        return DEFAULT_PRIORITY
    if not 0 <= request.priority <= 100:
        raise InvalidInputError(
            "BAD_REQUEST", "priority", f"priority is {request.priority}; it must be 0 to 100"
        )
    return request.priority


def _known(field: str, values: object, known: Sequence[int]) -> list[int]:
    asked = sorted(set(values))  # type: ignore[call-overload]  # a repeated enum is an iterable
    for value in asked:
        if value == 0 or value not in known:
            raise InvalidInputError(
                "BAD_REQUEST", field, f"{field} has {value}; known are 1 to {max(known)}"
            )
    return asked
