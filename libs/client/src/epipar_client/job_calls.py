"""Calls to JobService: durable work that anyone can watch from any event on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection

from epipar.scene.v1 import job_service_pb2 as job_pb2
from epipar.scene.v1 import job_service_pb2_grpc as job_grpc
from epipar_client.call import Stream
from epipar_client.convert import filled
from epipar_client.convert_gateway import (
    JOB_KINDS,
    JOB_STATES,
    job_from,
    numbers_from,
)
from epipar_client.errors import CallCancelledError, EpiparError, error_from_reason
from epipar_client.job_starts import JobStarts
from epipar_client.job_types import Job, JobEvent, JobKind, JobState
from epipar_client.transport import fresh_id
from epipar_client.watch import MAX_SILENCE_S, JobWatcher


class JobCalls(JobStarts):
    """The part of the client that starts jobs, looks at them, watches and ends them."""

    async def get_job(self, name: str) -> Job:
        """Return the job "jobs/{job}".

        Raises:
            NotFoundError: there is none.
            EpiparError: the call failed otherwise.
        """
        request = filled(job_pb2.GetJobRequest(), name=name)
        answer = await self._transport.ask(
            "gateway",
            lambda channel, settings: job_grpc.JobServiceStub(channel).GetJob(request, **settings),
        )
        return job_from(answer.job)

    async def list_jobs(
        self,
        *,
        scene: str | None = None,
        states: Collection[JobState] = (),
        kinds: Collection[JobKind] = (),
        page_size: int = 50,
    ) -> AsyncIterator[Job]:
        """Yield all jobs, newest first, a page at a time.

        Args:
            scene: only jobs of this scene, "scenes/{scene}".
            states: only jobs in one of these; empty for all.
            kinds: only jobs of one of these; empty for all.
            page_size: how many to ask for at once, 1 to 1000.

        Raises:
            EpiparError: a call failed.
        """
        request = filled(job_pb2.ListJobsRequest(), scene=scene, page_size=page_size)
        request.states.extend(numbers_from("states", states, JOB_STATES))
        request.kinds.extend(numbers_from("kinds", kinds, JOB_KINDS))
        while True:
            answer = await self._transport.ask(
                "gateway",
                lambda channel, settings: job_grpc.JobServiceStub(channel).ListJobs(
                    request, **settings
                ),
            )
            for job in answer.jobs:
                yield job_from(job)
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def cancel_job(self, name: str) -> Job:
        """Stop a job; what it has finished is kept, and a repeat goes on from there.

        Raises:
            NotReadyError: it has ended already (JOB_FINISHED).
            EpiparError: the call failed otherwise.
        """
        request = filled(job_pb2.CancelJobRequest(), name=name)
        answer = await self._transport.ask(
            "gateway",
            lambda channel, settings: job_grpc.JobServiceStub(channel).CancelJob(
                request, **settings
            ),
        )
        return job_from(answer.job)

    async def retry_job(self, name: str, *, request_id: str | None = None) -> Job:
        """Start what is left of a failed or cancelled job: the same requests, into the same scene.

        Args:
            name: "jobs/{job}".
            request_id: makes a repeat return the first job; default: a fresh one.

        Raises:
            NotReadyError: it has not ended, or it succeeded (JOB_FINISHED).
            NotFoundError: the job, or what it works on, is gone.
            EpiparError: the call failed otherwise.
        """
        request = filled(job_pb2.RetryJobRequest(), name=name, request_id=request_id or fresh_id())
        answer = await self._transport.ask(
            "gateway",
            lambda channel, settings: job_grpc.JobServiceStub(channel).RetryJob(
                request, **settings
            ),
        )
        return job_from(answer.job)

    async def delete_job(self, name: str) -> None:
        """Remove an ended job and its events; the scene stays.

        Raises:
            NotReadyError: it still runs.
            EpiparError: the call failed otherwise.
        """
        request = filled(job_pb2.DeleteJobRequest(), name=name)
        await self._transport.ask(
            "gateway",
            lambda channel, settings: job_grpc.JobServiceStub(channel).DeleteJob(
                request, **settings
            ),
        )

    def watch_job(
        self, name: str, after_sequence: int = 0, *, patience_s: float = 300.0
    ) -> AsyncIterator[JobEvent]:
        """Yield the events of a job, each exactly once and in order, until it has ended.

        A connection that is lost, however often, is taken up again after the last event seen.
        The last event is the job in the state it ended in; a failed job is no error here.

        Args:
            name: "jobs/{job}".
            after_sequence: begin after this event; 0 for all.
            patience_s: how long to go on trying without hearing anything.

        Raises:
            NotFoundError: there is no such job.
            UnavailableError: nothing was heard for `patience_s`.
            EpiparError: the gateway refuses otherwise.
        """
        transport = self._transport
        stub = job_grpc.JobServiceStub(transport.channel_to("gateway"))

        def open_stream(last: int) -> Stream:
            request = filled(job_pb2.WatchJobRequest(), name=name, after_sequence=last)
            stream: Stream = stub.WatchJob(request, metadata=transport.metadata(fresh_id()))
            return stream

        watcher = JobWatcher(
            open_stream,
            lambda: self.get_job(name),
            address=transport.target_of("gateway"),
            silence_s=min(transport.silence_s, MAX_SILENCE_S),
            patience_s=patience_s,
        )
        return watcher.events(after_sequence)

    async def wait_for_job(
        self,
        name: str,
        *,
        on_event: Callable[[JobEvent], None] | None = None,
        patience_s: float = 300.0,
    ) -> Job:
        """Watch a job to its end and return it.

        Args:
            name: "jobs/{job}".
            on_event: called with each event, in the event loop.
            patience_s: how long to go on trying without hearing anything.

        Raises:
            CallCancelledError: the job was cancelled.
            EpiparError: the job failed, or watching it did.
        """
        ended: Job | None = None
        async for event in self.watch_job(name, patience_s=patience_s):
            if on_event is not None:
                on_event(event)
            ended = event.job or ended
        job = ended or await self.get_job(name)
        if job.state == "succeeded":
            return job
        raise error_from_job(job)


def error_from_job(job: Job) -> EpiparError:
    """Return what a job that did not succeed raises: the class that its failed call would have."""
    metadata = {"job": job.name, "scene": job.scene}
    if job.failure is not None:
        return error_from_reason(
            job.failure.reason,
            job.failure.message,
            metadata={**job.failure.metadata, **metadata},
        )
    return CallCancelledError(
        f"{job.name} is {job.state}; what it has finished is kept",
        reason="CANCELLED",
        metadata=metadata,
    )
