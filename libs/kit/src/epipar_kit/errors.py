"""The errors a service may raise; each class says what the caller must do.

* EpiparError                  base; never raised as itself
  - InvalidInputError          change the request: it can never succeed as it is
  - NotFoundError              name something that exists
  - AlreadyExistsError         choose another name, or delete what is there
  - NotReadyError              wait for, or bring about, a state; then repeat
  - LimitExceededError         ask for less, or later
    - StorageFullError         free space in the store
  - EngineUnavailableError     repeat later, or install what is missing
  - CorruptArtifactError       make the artifact again: its bytes are not what they were
  - UnauthenticatedError       say who you are
  - ForbiddenError             ask somebody who may
  - CallEndedError             repeat the call: it was cancelled, or its deadline passed
  - InternalError              report a fault of this software
    - WorkerDiedError          the process that did the work died without an answer

``reason`` is a name of ``epipar.common.v1.ErrorReason`` without its prefix. Which gRPC status
each class becomes is known to ``wire.py`` alone.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

DEFAULT_RETRY_AFTER_S = 5.0

_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class EpiparError(Exception):
    """Base of every error that reaches a caller.

    Attributes:
        reason: a name of ErrorReason without its prefix, such as "TOO_FEW_FRAMES".
        message: one sentence for a person: the thing, the value seen, the value wanted.
        metadata: short facts for a program, as text.
    """

    extra_fields: ClassVar[tuple[str, ...]] = ()
    """Attributes of a subclass beside the three of the base; they travel with it."""

    def __init__(self, reason: str, message: str, **metadata: object) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata: dict[str, str] = {key: str(value) for key, value in metadata.items()}

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled by their args, which are not those of __init__ here; without
        # this an error raised in a process pool would break the pool.
        return error_from_dict, (error_to_dict(self),)


class InvalidInputError(EpiparError):
    """The request can never succeed as it is; ``field`` names the part at fault."""

    extra_fields = ("field",)

    def __init__(self, reason: str, field: str, message: str, **metadata: object) -> None:
        super().__init__(reason, message, **metadata)
        self.field = field


class NotFoundError(EpiparError):
    """What the request names does not exist."""

    extra_fields = ("resource_type", "resource_name")

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        resource_type: str = "artifact",
        resource_name: str = "",
        **metadata: object,
    ) -> None:
        super().__init__(reason, message, **metadata)
        self.resource_type = resource_type
        self.resource_name = resource_name


class AlreadyExistsError(NotFoundError):
    """What the request would make is there already, with other content."""


class NotReadyError(EpiparError):
    """The system is not in the state that the request needs."""

    extra_fields = ("subject",)

    def __init__(self, reason: str, message: str, *, subject: str = "", **metadata: object) -> None:
        super().__init__(reason, message, **metadata)
        self.subject = subject


class LimitExceededError(EpiparError):
    """The request asks for more than there is or than is allowed."""

    extra_fields = ("subject", "retry_after_s")

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        subject: str = "",
        retry_after_s: float | None = None,
        **metadata: object,
    ) -> None:
        super().__init__(reason, message, **metadata)
        self.subject = subject
        self.retry_after_s = retry_after_s


class StorageFullError(LimitExceededError):
    """The store has no room for what must be written."""

    def __init__(
        self,
        message: str,
        *,
        subject: str = "",
        retry_after_s: float | None = None,
        **metadata: object,
    ) -> None:
        super().__init__(
            "DISK_FULL", message, subject=subject, retry_after_s=retry_after_s, **metadata
        )


class EngineUnavailableError(EpiparError):
    """A part that this request needs is not there now.

    ``retry_after_s`` is None where waiting does not help.
    """

    extra_fields = ("retry_after_s",)

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        retry_after_s: float | None = DEFAULT_RETRY_AFTER_S,
        **metadata: object,
    ) -> None:
        super().__init__(reason, message, **metadata)
        self.retry_after_s = retry_after_s


class CorruptArtifactError(EpiparError):
    """A stored artifact cannot be read as what it claims to be."""


class UnauthenticatedError(EpiparError):
    """The caller did not prove who it is."""


class ForbiddenError(EpiparError):
    """The caller is known and may not do this."""


class CallEndedError(EpiparError):
    """The call ended early, by CANCELLED or DEADLINE_EXCEEDED; finished parts are kept."""


class InternalError(EpiparError):
    """A fault of this software. The cause stands in the log, not in the message."""

    def __init__(
        self,
        reason: str = "INTERNAL",
        message: str = "internal error; the server's log has the cause",
        **metadata: object,
    ) -> None:
        super().__init__(reason, message, **metadata)


class WorkerDiedError(InternalError):
    """The process that did the work ended without a result and without an error."""

    def __init__(self, message: str, **metadata: object) -> None:
        super().__init__("WORKER_DIED", message, **metadata)


_CLASSES: dict[str, type[EpiparError]] = {
    cls.__name__: cls
    for cls in (
        InvalidInputError,
        NotFoundError,
        AlreadyExistsError,
        NotReadyError,
        LimitExceededError,
        StorageFullError,
        EngineUnavailableError,
        CorruptArtifactError,
        UnauthenticatedError,
        ForbiddenError,
        CallEndedError,
        InternalError,
        WorkerDiedError,
    )
}


def error_to_dict(error: EpiparError) -> dict[str, Any]:
    """Return the error as JSON values, for another process; see error_from_dict."""
    fields = {name: getattr(error, name) for name in error.extra_fields}
    return {
        "kind": type(error).__name__,
        "reason": error.reason,
        "message": error.message,
        "metadata": error.metadata,
        **fields,
    }


def error_from_dict(values: Mapping[str, Any]) -> EpiparError:
    """Rebuild what error_to_dict wrote; an unknown kind becomes an InternalError."""
    kind = _CLASSES.get(str(values.get("kind")), InternalError)
    error = kind.__new__(kind)
    EpiparError.__init__(
        error,
        str(values.get("reason") or "INTERNAL"),
        str(values.get("message", "")),
        **values.get("metadata", {}),
    )
    for name in kind.extra_fields:
        setattr(error, name, values.get(name))
    return error


def typed_error(error: Exception) -> EpiparError:
    """Return what a caller may see of any exception; of most only that it is internal."""
    if isinstance(error, EpiparError):
        return error
    if isinstance(error, MemoryError):
        return LimitExceededError(
            "OUT_OF_MEMORY", "the work needs more memory than there is", subject="memory"
        )
    full = storage_full_from(error) if isinstance(error, OSError) else None
    return full if full is not None else InternalError()


def storage_full_from(error: OSError) -> StorageFullError | None:
    """Return the typed error where an OSError means that the disk, quota or file is full."""
    if error.errno not in _FULL_ERRNOS:
        return None
    where = os.fspath(error.filename) if error.filename is not None else "the store"
    name = os.fsdecode(os.path.basename(where))  # noqa: PTH119 - may be bytes
    return StorageFullError(
        f"no room left to write {name} ({os.strerror(error.errno)}); free some space and repeat",
        subject=name,
    )


@contextmanager
def typed_storage_errors() -> Iterator[None]:
    """Turn an OSError that means "full" into StorageFullError; let every other one pass."""
    try:
        yield
    except OSError as error:
        full = storage_full_from(error)
        if full is None:
            raise
        raise full from error
