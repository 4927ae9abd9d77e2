"""Exit codes of the `epipar` command, by what went wrong."""

from __future__ import annotations

import errno

from epipar_client import (
    AccessError,
    AlreadyExistsError,
    DeadlineExceededError,
    EpiparError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotReadyError,
    UnavailableError,
)

OK = 0
FAILED = 1
USAGE = 2
INVALID_INPUT = 3
NOT_FOUND = 4
EXISTS_OR_BUSY = 5
RESOURCES = 6
UNAVAILABLE = 7
INTERRUPTED = 130
TERMINATED = 143


class UsageError(EpiparError):
    """The command line asks for something that cannot be."""


_CODES: tuple[tuple[type[EpiparError], int], ...] = (
    (UsageError, USAGE),
    (InvalidInputError, INVALID_INPUT),
    (NotFoundError, NOT_FOUND),
    (AlreadyExistsError, EXISTS_OR_BUSY),
    (NotReadyError, EXISTS_OR_BUSY),
    (LimitExceededError, RESOURCES),
    (UnavailableError, UNAVAILABLE),
    (DeadlineExceededError, UNAVAILABLE),
)


def exit_code_of(error: EpiparError) -> int:
    """Return the exit code of a failed call; 1 for what no other code tells."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def error_from_os(error: OSError) -> EpiparError:
    """Tell a failure of this machine in the words of the services' errors."""
    message = f"{error.filename or 'this machine'}: {error.strerror or error}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return LimitExceededError(message, reason="DISK_FULL")
    if isinstance(error, FileNotFoundError):
        return NotFoundError(message, reason="NOT_FOUND")
    if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
        return AlreadyExistsError(message, reason="OUTPUT_EXISTS")
    if isinstance(error, PermissionError):
        return AccessError(message, reason="FORBIDDEN")
    return EpiparError(message, reason="OS_ERROR")
