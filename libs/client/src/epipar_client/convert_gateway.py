"""Between protobuf messages and dataclasses: scenes, jobs and their events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

from google.protobuf.timestamp_pb2 import Timestamp

from epipar.common.v1 import error_reason_pb2, failure_pb2
from epipar.scene.v1 import job_service_pb2 as job_pb2
from epipar.scene.v1 import scene_service_pb2 as scene_pb2
from epipar_client.convert import artifacts_from, progress_from
from epipar_client.errors import InvalidInputError
from epipar_client.job_types import (
    Attempt,
    Failure,
    Job,
    JobEvent,
    JobKind,
    JobState,
    Step,
    StepProgress,
)
from epipar_client.scene_types import Scene, SceneCompletion, SceneExport, SceneState

_REASON_PREFIX = "ERROR_REASON_"

SCENE_STATES: dict[SceneState, scene_pb2.Scene.State.ValueType] = {
    "empty": scene_pb2.Scene.STATE_EMPTY,
    "reconstructing": scene_pb2.Scene.STATE_RECONSTRUCTING,
    "ready": scene_pb2.Scene.STATE_READY,
    "failed": scene_pb2.Scene.STATE_FAILED,
}
JOB_STATES: dict[JobState, job_pb2.Job.State.ValueType] = {
    "queued": job_pb2.Job.STATE_QUEUED,
    "running": job_pb2.Job.STATE_RUNNING,
    "succeeded": job_pb2.Job.STATE_SUCCEEDED,
    "failed": job_pb2.Job.STATE_FAILED,
    "cancelled": job_pb2.Job.STATE_CANCELLED,
}
JOB_KINDS: dict[JobKind, job_pb2.Job.Kind.ValueType] = {
    "reconstruction": job_pb2.Job.KIND_RECONSTRUCTION,
    "export": job_pb2.Job.KIND_EXPORT,
    "completion": job_pb2.Job.KIND_COMPLETION,
}
_SCENE_STATE_OF: dict[int, SceneState] = {number: name for name, number in SCENE_STATES.items()}
_JOB_STATE_OF: dict[int, JobState] = {number: name for name, number in JOB_STATES.items()}
_JOB_KIND_OF: dict[int, JobKind] = {number: name for name, number in JOB_KINDS.items()}


def numbers_from(field: str, names: Iterable[str], numbers: dict[Any, Any]) -> list[Any]:
    """Return the numbers of a filter's names.

    Raises:
        InvalidInputError: a name does not exist.
    """
    names = tuple(names)
    for name in names:
        if name not in numbers:
            raise InvalidInputError(
                f"{field} has {name!r}; it may have {', '.join(numbers)}",
                reason="BAD_REQUEST",
                field=field,
            )
    return [numbers[name] for name in names]


def scene_from(message: scene_pb2.Scene) -> Scene:
    """Read a scene."""
    thumbnail = artifacts_from([message.thumbnail]) if message.HasField("thumbnail") else ()
    return Scene(
        name=message.name,
        display_name=message.display_name,
        state=_SCENE_STATE_OF.get(message.state, "unspecified"),
        create_time=_time(message, "create_time"),
        update_time=_time(message, "update_time"),
        registered_frames=message.registered_frames,
        exports=_exports(message.exports),
        completions=tuple(
            SceneCompletion(
                completion.name,
                completion.engine,
                artifacts_from(completion.artifacts),
                _exports(completion.exports),
                _time(completion, "create_time"),
            )
            for completion in message.completions
        ),
        thumbnail=thumbnail[0] if thumbnail else None,
        artifacts=artifacts_from(message.artifacts),
    )


def job_from(message: job_pb2.Job) -> Job:
    """Read a job."""
    return Job(
        name=message.name,
        scene=message.scene,
        kind=_JOB_KIND_OF.get(message.kind, "unspecified"),
        state=_JOB_STATE_OF.get(message.state, "unspecified"),
        priority=message.priority,
        create_time=_time(message, "create_time"),
        start_time=_time(message, "start_time"),
        end_time=_time(message, "end_time"),
        steps=tuple(map(_step, message.steps)),
        last_sequence=message.last_sequence,
        failure=_failure(message),
        artifacts=artifacts_from(message.artifacts),
    )


def job_event_from(message: job_pb2.WatchJobResponse) -> JobEvent | None:
    """Read one message of the stream; None for a heartbeat, which is no stored event."""
    kind = message.WhichOneof("event")
    if kind == "heartbeat":
        return None
    progress = message.progress
    return JobEvent(
        sequence=message.sequence,
        time=_time(message, "time"),
        job=job_from(message.job) if kind == "job" else None,
        progress=StepProgress(progress.step, progress_from(progress.progress), progress.remaining_s)
        if kind == "progress"
        else None,
    )


def _exports(messages: Iterable[scene_pb2.Export]) -> tuple[SceneExport, ...]:
    return tuple(
        SceneExport(export.name, artifacts_from(export.artifacts), _time(export, "create_time"))
        for export in messages
    )


def _step(message: job_pb2.Step) -> Step:
    return Step(
        name=message.name,
        state=_JOB_STATE_OF.get(message.state, "unspecified"),
        progress=progress_from(message.progress) if message.HasField("progress") else None,
        attempts=tuple(
            Attempt(
                attempt.number,
                _time(attempt, "start_time"),
                _time(attempt, "end_time"),
                _failure(attempt),
            )
            for attempt in message.attempts
        ),
        remaining_s=message.remaining_s,
    )


class _HasFailure(Protocol):
    @property
    def failure(self) -> failure_pb2.Failure: ...

    def HasField(self, field_name: Any) -> bool: ...  # noqa: N802 - protobuf's name


def _failure(message: _HasFailure) -> Failure | None:
    if not message.HasField("failure"):
        return None
    failure = message.failure
    try:
        name = error_reason_pb2.ErrorReason.Name(failure.reason)
    except ValueError:  # of a later version
        name = f"{_REASON_PREFIX}{failure.reason}"
    return Failure(name.removeprefix(_REASON_PREFIX), failure.message, dict(failure.metadata))


def _time(message: Any, field: str) -> datetime | None:
    """Read a time, to the microsecond; None where it is not set."""
    if not message.HasField(field):
        return None
    stamp: Timestamp = getattr(message, field)
    return stamp.ToDatetime(tzinfo=UTC)
