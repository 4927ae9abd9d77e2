"""What a failed HTTP answer of the gateway, or of a proxy before it, means."""

from __future__ import annotations

import json

import aiohttp

from epipar_client.errors import (
    AccessError,
    AlreadyExistsError,
    CorruptArtifactError,
    EpiparError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotReadyError,
    ServiceError,
    UnavailableError,
    error_from_reason,
)

CHECKSUM_MISMATCH = 460
"""The status that tus has for it."""
_MAX_BODY_BYTES = 64 * 1024
_CLASSES: dict[int, type[EpiparError]] = {
    400: InvalidInputError,
    401: AccessError,
    403: AccessError,
    404: NotFoundError,
    405: ServiceError,
    409: AlreadyExistsError,
    410: NotFoundError,
    412: ServiceError,
    413: LimitExceededError,
    415: InvalidInputError,
    416: CorruptArtifactError,
    423: NotReadyError,
    429: LimitExceededError,
    CHECKSUM_MISMATCH: CorruptArtifactError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
    507: LimitExceededError,
}


async def error_from_response(response: aiohttp.ClientResponse) -> EpiparError:
    """Turn a failed answer into one of this package's errors.

    The gateway's are JSON {"reason", "message"}; of others the status tells what it is.
    """
    try:
        body = await response.content.read(_MAX_BODY_BYTES)
    except aiohttp.ClientError:
        body = b""
    kind = _CLASSES.get(response.status, ServiceError)
    try:
        told = json.loads(body)
        reason, message = str(told["reason"]), str(told["message"])
    except (ValueError, TypeError, KeyError):
        where = f"{response.method} {response.url.path}"
        text = " ".join(body.decode(errors="replace").split())[:200]
        message = f"{where} was answered with {response.status} {response.reason}: {text}"
        return kind(message, reason=f"HTTP_{response.status}")
    return error_from_reason(reason, message, otherwise=kind)


def error_from_connection(error: Exception, url: str) -> UnavailableError:
    """Turn a connection that cannot be made, or breaks, into one of this package's errors."""
    told = str(error) or type(error).__name__
    return UnavailableError(f"{url} does not answer: {told}", reason="UNAVAILABLE")
