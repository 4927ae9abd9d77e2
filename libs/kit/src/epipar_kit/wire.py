"""Errors on the wire: class to gRPC status with google.rpc details, and back.

The only module that knows gRPC codes.

    InvalidInputError        INVALID_ARGUMENT     BadRequest
    NotFoundError            NOT_FOUND            ResourceInfo
    AlreadyExistsError       ALREADY_EXISTS       ResourceInfo
    NotReadyError            FAILED_PRECONDITION  PreconditionFailure
    LimitExceededError       RESOURCE_EXHAUSTED   QuotaFailure, RetryInfo where waiting helps
    StorageFullError         RESOURCE_EXHAUSTED   QuotaFailure
    EngineUnavailableError   UNAVAILABLE          RetryInfo where waiting helps
    CorruptArtifactError     DATA_LOSS
    UnauthenticatedError     UNAUTHENTICATED
    ForbiddenError           PERMISSION_DENIED
    CallEndedError           CANCELLED or DEADLINE_EXCEEDED, by its reason
    InternalError and others INTERNAL

Every status carries ErrorInfo with the reason and the metadata.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from epipar_kit.errors import (
    AlreadyExistsError,
    CallEndedError,
    CorruptArtifactError,
    EngineUnavailableError,
    EpiparError,
    ForbiddenError,
    InternalError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotReadyError,
    StorageFullError,
    UnauthenticatedError,
    WorkerDiedError,
    error_from_dict,
)

DOMAIN = "epipar.dev"
DETAILS_KEY = "grpc-status-details-bin"
UNSPECIFIED = "UNSPECIFIED"
"""Reason of an error that came without ErrorInfo, such as a refused connection."""

# A client refuses trailers above 8 KiB in all; the message stands in them up to three times.
MAX_MESSAGE_BYTES = 900
MAX_METADATA_ENTRIES = 16
MAX_METADATA_BYTES = 100

_CODES: dict[type[EpiparError], grpc.StatusCode] = {
    InvalidInputError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    AlreadyExistsError: grpc.StatusCode.ALREADY_EXISTS,
    NotReadyError: grpc.StatusCode.FAILED_PRECONDITION,
    LimitExceededError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    EngineUnavailableError: grpc.StatusCode.UNAVAILABLE,
    CorruptArtifactError: grpc.StatusCode.DATA_LOSS,
    UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    ForbiddenError: grpc.StatusCode.PERMISSION_DENIED,
    CallEndedError: grpc.StatusCode.CANCELLED,
    InternalError: grpc.StatusCode.INTERNAL,
}
_CLASSES: dict[grpc.StatusCode, type[EpiparError]] = {
    **{code: cls for cls, code in _CODES.items()},
    grpc.StatusCode.DEADLINE_EXCEEDED: CallEndedError,
}

_Detail = TypeVar("_Detail", bound=Message)


@dataclass(frozen=True, slots=True)
class WireStatus:
    """What a failed call ends with."""

    code: grpc.StatusCode
    message: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def status_from_error(error: EpiparError) -> WireStatus:
    """Return the status of an error, cut to what fits in trailers."""
    code = code_of(error)
    message = _cut(error.message, MAX_MESSAGE_BYTES)
    packed = []
    for detail in _details_of(error, message):
        item = any_pb2.Any()
        item.Pack(detail)
        packed.append(item)
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=message, details=packed)
    return WireStatus(code, message, ((DETAILS_KEY, status.SerializeToString()),))


def code_of(error: EpiparError) -> grpc.StatusCode:
    """Return the gRPC code of an error."""
    if isinstance(error, CallEndedError) and error.reason == "DEADLINE_EXCEEDED":
        return grpc.StatusCode.DEADLINE_EXCEEDED
    for cls in type(error).__mro__:
        if cls in _CODES:
            return _CODES[cls]
    return grpc.StatusCode.INTERNAL


def error_from_call(error: grpc.aio.AioRpcError) -> EpiparError:
    """Rebuild the error of a failed call from its status and its trailer.

    Without ErrorInfo the class follows the code alone and the reason is "UNSPECIFIED", except for
    CANCELLED and DEADLINE_EXCEEDED, which a client makes itself, and for messages over a limit.
    """
    status = _status_of(error.trailing_metadata())
    message = status.message or error.details() or ""
    info = _find(status, error_details_pb2.ErrorInfo)
    reason = info.reason if info is not None else _reason_without_info(error.code(), message)
    cls = _CLASSES.get(error.code(), InternalError)
    if reason == "DISK_FULL" and cls is LimitExceededError:
        cls = StorageFullError
    if reason == "WORKER_DIED" and cls is InternalError:
        cls = WorkerDiedError
    return error_from_dict(
        {
            "kind": cls.__name__,
            "reason": reason,
            "message": message,
            "metadata": dict(info.metadata) if info is not None else {},
            **_fields_of(status),
        }
    )


def _details_of(error: EpiparError, message: str) -> Iterable[Message]:
    metadata = {
        key: _cut(value, MAX_METADATA_BYTES)
        for key, value in list(error.metadata.items())[:MAX_METADATA_ENTRIES]
    }
    yield error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    match error:
        case InvalidInputError():
            violation = error_details_pb2.BadRequest.FieldViolation(
                field=error.field, description=message
            )
            yield error_details_pb2.BadRequest(field_violations=[violation])
        case NotFoundError():
            yield error_details_pb2.ResourceInfo(
                resource_type=error.resource_type, resource_name=error.resource_name
            )
        case NotReadyError():
            precondition = error_details_pb2.PreconditionFailure.Violation(
                type=error.reason, subject=error.subject, description=message
            )
            yield error_details_pb2.PreconditionFailure(violations=[precondition])
        case LimitExceededError():
            quota = error_details_pb2.QuotaFailure.Violation(
                subject=error.subject, description=message
            )
            yield error_details_pb2.QuotaFailure(violations=[quota])
    if isinstance(error, LimitExceededError | EngineUnavailableError) and (
        error.retry_after_s is not None
    ):
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        yield error_details_pb2.RetryInfo(retry_delay=delay)


def _fields_of(status: status_pb2.Status) -> dict[str, Any]:
    """Return the extra fields of all classes; error_from_dict takes those it needs."""
    fields: dict[str, Any] = {
        "field": "",
        "resource_type": "",
        "resource_name": "",
        "subject": "",
        "retry_after_s": None,
    }
    if (bad := _find(status, error_details_pb2.BadRequest)) and bad.field_violations:
        fields["field"] = bad.field_violations[0].field
    if resource := _find(status, error_details_pb2.ResourceInfo):
        fields["resource_type"] = resource.resource_type
        fields["resource_name"] = resource.resource_name
    if (state := _find(status, error_details_pb2.PreconditionFailure)) and state.violations:
        fields["subject"] = state.violations[0].subject
    if (quota := _find(status, error_details_pb2.QuotaFailure)) and quota.violations:
        fields["subject"] = quota.violations[0].subject
    if retry := _find(status, error_details_pb2.RetryInfo):
        fields["retry_after_s"] = retry.retry_delay.ToMilliseconds() / 1000
    return fields


def _find(status: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    detail = kind()
    return next((detail for packed in status.details if packed.Unpack(detail)), None)


def _status_of(trailers: Iterable[tuple[str, str | bytes]] | None) -> status_pb2.Status:
    for key, value in trailers or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def _reason_without_info(code: grpc.StatusCode, message: str) -> str:
    if code in {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}:
        return code.name
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in message:
        return "MESSAGE_TOO_LARGE"
    return UNSPECIFIED


def _cut(text: str, max_bytes: int) -> str:
    data = text.encode(errors="replace")
    if len(data) <= max_bytes:
        return data.decode()
    return data[: max_bytes - 3].decode(errors="ignore") + "…"
