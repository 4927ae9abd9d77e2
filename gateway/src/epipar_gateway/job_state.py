"""A job's life as changes of its message: pure, and each safe to repeat.

The contract's Job is the state itself: it is what is stored, sent and shown, so that there is no
second model of it that could differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from google.protobuf import timestamp_pb2

from epipar.common.v1 import artifact_pb2, error_reason_pb2, failure_pb2, progress_pb2
from epipar.scene.v1 import job_service_pb2 as pb
from epipar_kit.errors import EpiparError

MAX_MESSAGE_LETTERS = 2000
MAX_METADATA_ENTRIES = 32

ENDED = frozenset({pb.Job.STATE_SUCCEEDED, pb.Job.STATE_FAILED, pb.Job.STATE_CANCELLED})

INTERRUPTED = failure_pb2.Failure(
    reason=error_reason_pb2.ERROR_REASON_ENGINE_UNAVAILABLE,
    message="the gateway stopped, or lost its database, in the middle of this call; "
    "another attempt goes on",
)
_CANCELLED = failure_pb2.Failure(
    reason=error_reason_pb2.ERROR_REASON_CANCELLED, message="the job was cancelled"
)


def time_from_us(time_us: int) -> timestamp_pb2.Timestamp:
    """Return microseconds since 1970 as a Timestamp."""
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(time_us)
    return stamp


def failure_from_error(error: EpiparError) -> failure_pb2.Failure:
    """Return what the status of a failed call carries, as a Failure; unknown reasons are INTERNAL."""
    known = error_reason_pb2.ErrorReason.keys()
    name = f"ERROR_REASON_{error.reason}"
    if error.reason == "UNSPECIFIED" or name not in known:  # a proxy's answer, a newer service
        name = "ERROR_REASON_INTERNAL"
    reason = error_reason_pb2.ErrorReason.Value(name)
    return failure_pb2.Failure(
        reason=reason,
        message=error.message[:MAX_MESSAGE_LETTERS],
        metadata=dict(list(error.metadata.items())[:MAX_METADATA_ENTRIES]),
    )


def new_job(
    job_id: str,
    scene_id: str,
    kind: pb.Job.Kind.ValueType,
    priority: int,
    steps: Sequence[str],
    time_us: int,
) -> pb.Job:
    """Return a queued job."""
    return pb.Job(
        name=f"jobs/{job_id}",
        scene=f"scenes/{scene_id}",
        kind=kind,
        state=pb.Job.STATE_QUEUED,
        priority=priority,
        create_time=time_from_us(time_us),
        steps=[pb.Step(name=name, state=pb.Job.STATE_QUEUED) for name in steps],
    )


def begin_attempt(job: pb.Job, index: int, time_us: int) -> int:
    """Open an attempt of a step and return its number; one that was left open has failed."""
    step = job.steps[index]
    _close_attempt(step, time_us, INTERRUPTED)
    attempt = step.attempts.add(number=len(step.attempts) + 1)
    attempt.start_time.CopyFrom(time_from_us(time_us))
    step.state = pb.Job.STATE_RUNNING
    job.state = pb.Job.STATE_RUNNING
    if not job.HasField("start_time"):
        job.start_time.CopyFrom(time_from_us(time_us))
    return attempt.number


def is_current(job: pb.Job, index: int, attempt: int) -> bool:
    """Tell whether an attempt is the one that runs; a superseded one must not write any more."""
    step = job.steps[index]
    return (
        job.state == pb.Job.STATE_RUNNING
        and step.state == pb.Job.STATE_RUNNING
        and len(step.attempts) == attempt
        and not step.attempts[-1].HasField("end_time")
    )


def end_attempt(job: pb.Job, index: int, failure: failure_pb2.Failure, time_us: int) -> None:
    """Close the running attempt as failed; another may follow."""
    step = job.steps[index]
    _close_attempt(step, time_us, failure)
    step.remaining_s = 0


def set_progress(
    job: pb.Job, index: int, progress: progress_pb2.Progress, remaining_s: float
) -> None:
    """Keep a step's last progress."""
    step = job.steps[index]
    step.progress.CopyFrom(progress)
    step.remaining_s = remaining_s


def finish_step(
    job: pb.Job, index: int, artifacts: Iterable[artifact_pb2.Artifact], time_us: int
) -> None:
    """Close a step as done; the job with it, if it was the last."""
    step = job.steps[index]
    _close_attempt(step, time_us, None)
    step.state = pb.Job.STATE_SUCCEEDED
    step.remaining_s = 0
    job.artifacts.extend(artifacts)
    if index == len(job.steps) - 1:
        _end(job, pb.Job.STATE_SUCCEEDED, time_us)


def fail_job(job: pb.Job, index: int, failure: failure_pb2.Failure, time_us: int) -> None:
    """End the job as failed in a step; the steps behind it never run."""
    step = job.steps[index]
    _close_attempt(step, time_us, failure)
    step.state = pb.Job.STATE_FAILED
    step.remaining_s = 0
    for later in job.steps[index + 1 :]:
        later.state = pb.Job.STATE_CANCELLED
    job.failure.CopyFrom(failure)
    _end(job, pb.Job.STATE_FAILED, time_us)


def cancel_job(job: pb.Job, time_us: int) -> None:
    """End the job as cancelled, with every step that is not done."""
    for step in job.steps:
        _close_attempt(step, time_us, _CANCELLED)
        if step.state != pb.Job.STATE_SUCCEEDED:
            step.state = pb.Job.STATE_CANCELLED
            step.remaining_s = 0
    _end(job, pb.Job.STATE_CANCELLED, time_us)


def _end(job: pb.Job, state: pb.Job.State.ValueType, time_us: int) -> None:
    job.state = state
    job.end_time.CopyFrom(time_from_us(time_us))


def _close_attempt(step: pb.Step, time_us: int, failure: failure_pb2.Failure | None) -> None:
    if not step.attempts or step.attempts[-1].HasField("end_time"):
        return
    step.attempts[-1].end_time.CopyFrom(time_from_us(time_us))
    if failure is not None:
        step.attempts[-1].failure.CopyFrom(failure)
