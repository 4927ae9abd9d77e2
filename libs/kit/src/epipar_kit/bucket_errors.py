"""What went wrong with a bucket, in our words: what is it, where, and the way out."""

from __future__ import annotations

from epipar_kit.errors import EngineUnavailableError, EpiparError, NotFoundError

_REFUSED = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "403 Forbidden",
    "401 Unauthorized",
)


def bucket_error(error: Exception, key: str, bucket: str, where: str) -> EpiparError:
    """Return the typed error for what obstore raised.

    Args:
        error: of obstore, or FileNotFoundError.
        key: what was asked for.
        bucket: its name.
        where: the service's endpoint.
    """
    text = str(error)
    if "NoSuchBucket" in text:
        return _unavailable(
            f"there is no bucket {bucket!r} at {where}; make it, or change EPIPAR_STORE_URL", where
        )
    if isinstance(error, FileNotFoundError):
        return NotFoundError("NOT_FOUND", f"{key!r} does not exist in the store", resource_name=key)
    fault = next((word for word in _REFUSED if word in text), None)
    kind = type(error).__name__
    if fault or kind in {"PermissionDeniedError", "UnauthenticatedError"}:
        return _unavailable(
            f"the store at {where} refuses the credentials for bucket {bucket!r} "
            f"({fault or kind}); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "EPIPAR_STORE_S3_ACCESS_KEY_ID and EPIPAR_STORE_S3_SECRET_ACCESS_KEY",
            where,
        )
    return EngineUnavailableError(
        "STORE_UNAVAILABLE",
        f"the store at {where} does not answer: {_first_line(text)}; finished parts are kept, "
        "repeat the call when it is back",
        endpoint=where,
    )


def _unavailable(message: str, where: str) -> EngineUnavailableError:
    """Return an error that waiting does not mend."""
    return EngineUnavailableError("STORE_UNAVAILABLE", message, retry_after_s=None, endpoint=where)


def _first_line(text: str) -> str:
    return text.partition("\n")[0].strip()[:300]
