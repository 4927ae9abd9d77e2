"""What a call can fail with. Each class says what the caller must do.

EpiparError                 any failure of a call
├── InvalidInputError       change the request or the input; `.field` names the part at fault
├── NotFoundError           name something that exists
├── AlreadyExistsError      choose another output, or delete the one that exists
├── NotReadyError           do what the message says first (finish, download, accept), then repeat
├── LimitExceededError      ask for less, or repeat when there is room (`.retry_after_s`)
├── UnavailableError        repeat later; the client has already tried (`.retry_after_s`)
├── DeadlineExceededError   repeat with a longer deadline: finished parts are kept
├── CallCancelledError      repeat if it is still wanted: finished parts are kept
├── AccessError             bring valid credentials, or ask for the right
├── CorruptArtifactError    make the damaged artifact again
└── ServiceError            report it with `.request_id`; the service's log has the trace

`.reason` is a name of `epipar.common.v1.ErrorReason` without its prefix, for example
"SPLIT_MODEL". A job that failed raises the class that the failed call inside it would have raised,
with the job's name as `.metadata["job"]`. A failure that never reached a service (nobody listens, a proxy refused) has no such
reason: then it is the name of the gRPC code, for example "UNAVAILABLE".

Cancelling the task that awaits a call raises `asyncio.CancelledError`, as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import aio

_DETAILS_KEY = "grpc-status-details-bin"


class EpiparError(Exception):
    """Any failure of a call.

    Attributes:
        message: for a person; names the thing, the value seen and the value wanted.
        reason: for a program, for example "SPLIT_MODEL".
        field: the part of the request at fault, for example "options.max_frames", or None.
        metadata: facts for a program, for example {"registered": "31", "frames": "60"}.
        request_id: what the service's log calls this request, or None.
        retry_after_s: when the service says a repeat may succeed, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "INTERNAL",
        field: str | None = None,
        metadata: Mapping[str, str] | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.field = field
        self.metadata: Mapping[str, str] = MappingProxyType(dict(metadata or {}))
        self.request_id = request_id
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class InvalidInputError(EpiparError):
    """The request or the input is at fault; a repeat fails again. Change it."""


class NotFoundError(EpiparError):
    """A named thing does not exist."""


class AlreadyExistsError(EpiparError):
    """The output exists with other content. Choose another, or delete it."""


class NotReadyError(EpiparError):
    """Something must happen first: a scene finish, another writer end, a model arrive."""


class LimitExceededError(EpiparError):
    """Too much was asked for at once, or the machine has no room left."""


class UnavailableError(EpiparError):
    """Nobody answers, or what is needed cannot run now. Repeat later."""


class DeadlineExceededError(EpiparError):
    """The call's time was up. Finished parts are kept; a repeat goes on from them."""


class CallCancelledError(EpiparError):
    """The call was ended from the other side. Finished parts are kept."""


class AccessError(EpiparError):
    """The credentials are missing, wrong or not enough."""


class CorruptArtifactError(EpiparError):
    """A stored file does not hold what its manifest says. Make it again."""


class ServiceError(EpiparError):
    """The service failed in a way it did not foresee. Report it with the request id."""


_CLASSES: dict[grpc.StatusCode, type[EpiparError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInputError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidInputError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.FAILED_PRECONDITION: NotReadyError,
    grpc.StatusCode.ABORTED: NotReadyError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: LimitExceededError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.CANCELLED: CallCancelledError,
    grpc.StatusCode.UNAUTHENTICATED: AccessError,
    grpc.StatusCode.PERMISSION_DENIED: AccessError,
    grpc.StatusCode.DATA_LOSS: CorruptArtifactError,
}


_CLASS_OF_REASON: dict[str, type[EpiparError]] = {
    **dict.fromkeys(
        (
            *("BAD_REQUEST", "BAD_URI", "ENGINE_UNKNOWN", "CODEC_UNKNOWN", "BAD_BITS"),
            *("BAD_OPTION", "UNREADABLE_VIDEO", "UNREADABLE_IMAGE", "IMAGE_TOO_LARGE"),
            *("IMAGE_TOO_SMALL", "MIXED_SIZES", "TOO_FEW_FRAMES", "TOO_MANY_FRAMES"),
            *("NO_PARALLAX", "SPLIT_MODEL", "INPUT_TOO_LARGE"),
        ),
        InvalidInputError,
    ),
    "NOT_FOUND": NotFoundError,
    **dict.fromkeys(("OUTPUT_EXISTS", "REQUEST_ID_REUSED"), AlreadyExistsError),
    **dict.fromkeys(
        (
            *("SCENE_INCOMPLETE", "SCENE_EMPTY", "OUTPUT_BUSY", "WEIGHTS_MISSING"),
            *("LICENCE_NOT_ACCEPTED", "JOB_FINISHED"),
        ),
        NotReadyError,
    ),
    **dict.fromkeys(
        ("TOO_MANY_REQUESTS", "MESSAGE_TOO_LARGE", "OUT_OF_MEMORY", "DISK_FULL"),
        LimitExceededError,
    ),
    **dict.fromkeys(("ENGINE_UNAVAILABLE", "STORE_UNAVAILABLE"), UnavailableError),
    "CORRUPT_ARTIFACT": CorruptArtifactError,
    "DEADLINE_EXCEEDED": DeadlineExceededError,
    "CANCELLED": CallCancelledError,
    **dict.fromkeys(("UNAUTHENTICATED", "FORBIDDEN"), AccessError),
    **dict.fromkeys(("INTERNAL", "WORKER_DIED"), ServiceError),
}
"""For failures without a gRPC status: those of jobs, and of HTTP."""


def error_from_reason(
    reason: str,
    message: str,
    *,
    metadata: Mapping[str, str] | None = None,
    otherwise: type[EpiparError] = ServiceError,
) -> EpiparError:
    """Make the error that a call would have failed with for this reason.

    Args:
        reason: a name of ErrorReason without its prefix.
        message: for a person.
        metadata: facts for a program.
        otherwise: the class of a reason that this version does not know.
    """
    return _CLASS_OF_REASON.get(reason, otherwise)(message, reason=reason, metadata=metadata)


def error_from_rpc(
    error: aio.AioRpcError, *, address: str = "", request_id: str | None = None
) -> EpiparError:
    """Turn a failed RPC into one of this module's errors, with all its details.

    Args:
        error: what grpc.aio raised.
        address: where the call went, for the message of a service that does not answer.
        request_id: the id the call was sent with.
    """
    code = error.code()
    message = error.details() or f"the call ended with {code.name}"
    info, bad_request, retry = _details(error)
    reason = info.reason or code.name
    violations = bad_request.field_violations
    field = violations[0].field if violations else None
    retry_after_s = None
    if retry.HasField("retry_delay"):
        retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
    if code is grpc.StatusCode.UNAVAILABLE and not info.reason:
        message = f"{address or 'the service'} does not answer: {message}"
    return _CLASSES.get(code, ServiceError)(
        message,
        reason=reason,
        field=field,
        metadata=info.metadata,
        request_id=request_id,
        retry_after_s=retry_after_s,
    )


def _details(
    error: aio.AioRpcError,
) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo]:
    """Unpack `grpc-status-details-bin`; what is absent, or damaged on its way, stays empty."""
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            # Damage must not hide the status itself, which came apart from the details.
            with suppress(DecodeError):
                status.ParseFromString(value)
    for detail in status.details:
        for message in (info, bad_request, retry):
            with suppress(DecodeError):
                detail.Unpack(message)
    return info, bad_request, retry
