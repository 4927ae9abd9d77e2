"""Errors over HTTP: a status and ``{"reason": …, "message": …}``, the same reasons as over gRPC."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping

import structlog
from aiohttp import web

from epipar_kit.errors import (
    AlreadyExistsError,
    CorruptArtifactError,
    EngineUnavailableError,
    EpiparError,
    ForbiddenError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotReadyError,
    StorageFullError,
    UnauthenticatedError,
    storage_full_from,
)

log = structlog.get_logger(__name__)

_BY_REASON = {
    "INPUT_TOO_LARGE": 413,
    "TOO_MANY_FRAMES": 413,
    "TOO_MANY_REQUESTS": 503,  # tus clients repeat a 503 by themselves, not a 429
    "OUTPUT_BUSY": 423,
    "UNREADABLE_VIDEO": 422,
    "UNREADABLE_IMAGE": 422,
}
# A subclass stands before its base.
_BY_CLASS: tuple[tuple[type[EpiparError], int], ...] = (
    (StorageFullError, 507),
    (LimitExceededError, 503),
    (InvalidInputError, 400),
    (AlreadyExistsError, 409),
    (NotFoundError, 404),
    (NotReadyError, 409),
    (EngineUnavailableError, 503),
    (UnauthenticatedError, 401),
    (ForbiddenError, 403),
    (CorruptArtifactError, 500),
)
_BY_STATUS = {401: "UNAUTHENTICATED", 403: "FORBIDDEN", 404: "NOT_FOUND", 413: "INPUT_TOO_LARGE"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HttpRefusalError(Exception):
    """A refusal that has a status of its own.

    Attributes:
        status: of the response.
        reason: a name of ErrorReason without its prefix.
        headers: of the response.
    """

    def __init__(
        self, status: int, reason: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.headers = dict(headers or {})


def status_of(error: EpiparError) -> int:
    """Return the HTTP status of a typed error."""
    if error.reason in _BY_REASON:
        return _BY_REASON[error.reason]
    return next((status for kind, status in _BY_CLASS if isinstance(error, kind)), 500)


def error_response(
    status: int, reason: str, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return the response of an error; nobody may keep it."""
    return web.json_response(
        {"reason": reason, "message": message},
        status=status,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error as JSON; of an unexpected one only the log knows the cause."""
    try:
        return await handler(request)
    except HttpRefusalError as refusal:
        return error_response(refusal.status, refusal.reason, refusal.message, refusal.headers)
    except EpiparError as error:
        retry_after_s = getattr(error, "retry_after_s", None)
        headers = {} if retry_after_s is None else {"Retry-After": str(math.ceil(retry_after_s))}
        return error_response(status_of(error), error.reason, error.message, headers)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        keep = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
        reason = _BY_STATUS.get(error.status, "BAD_REQUEST")
        message = f"{request.method} {request.path}: {error.reason}"
        return error_response(error.status, reason, message, keep)
    except ConnectionResetError:
        raise  # the client is gone: nobody is there to answer
    except Exception as error:
        full = storage_full_from(error) if isinstance(error, OSError) else None
        if full is not None:
            return error_response(507, full.reason, full.message)
        log.exception("http_failed", method=request.method, path=request.path)
        return error_response(500, "INTERNAL", "internal error; the server's log has the cause")
