"""Names: new ids of jobs and scenes, and what callers may name."""

from __future__ import annotations

import re
import secrets
import time
import unicodedata

from epipar_kit.errors import InvalidInputError

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_SCENE = re.compile(r"[a-z0-9-]{1,63}")
_JOB = re.compile(r"[a-z2-7]{12}")
_UPLOAD = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OUTPUT = re.compile(r"[a-z0-9_-]{1,64}")
_REQUEST = re.compile(r"[\x21-\x7e]{1,64}")
_SLUG_LETTERS = 48


def now_us() -> int:
    """Return the time, microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def new_job_id() -> str:
    """Return 12 random base32 characters."""
    return _random(12)


def new_scene_id(text: str) -> str:
    """Return a slug of a name for people, with 6 random characters behind it."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_SLUG_LETTERS].strip("-")
    return f"{slug or 'scene'}-{_random(6)}"


def is_scene_id(text: str) -> bool:
    """Tell whether a text can be the id of a scene."""
    return _SCENE.fullmatch(text) is not None


def scene_id_from(name: str, field: str = "scene") -> str:
    """Return the id in "scenes/{scene}".

    Raises:
        InvalidInputError: BAD_REQUEST with the field.
    """
    return _id_from(name, "scenes", _SCENE, "1 to 63 characters of a-z, 0-9 and '-'", field)


def job_id_from(name: str, field: str = "name") -> str:
    """Return the id in "jobs/{job}".

    Raises:
        InvalidInputError: BAD_REQUEST with the field.
    """
    return _id_from(name, "jobs", _JOB, "12 characters of a-z and 2-7", field)


def upload_name_from(name: str) -> str:
    """Return "uploads/{upload}" as it is.

    Raises:
        InvalidInputError: BAD_REQUEST with the field.
    """
    letters = "1 to 64 letters, digits, '-' and '_'"
    return "uploads/" + _id_from(name, "uploads", _UPLOAD, letters, "upload")


def output_name_from(name: str, field: str) -> str:
    """Return the name of an export, a completion or a mask set as it is.

    Raises:
        InvalidInputError: BAD_REQUEST with the field.
    """
    if not _OUTPUT.fullmatch(name):
        raise InvalidInputError(
            "BAD_REQUEST",
            field,
            f"{field} is {name[:80]!r}; it must be 1 to 64 characters of a-z, 0-9, '-' and '_'",
        )
    return name


def request_id_from(text: str) -> str:
    """Return a request_id as it is, "" where there is none.

    Raises:
        InvalidInputError: BAD_REQUEST with the field.
    """
    if text and not _REQUEST.fullmatch(text):
        raise InvalidInputError(
            "BAD_REQUEST",
            "request_id",
            f"request_id is {text[:80]!r}; it must be 1 to 64 printable ASCII characters",
        )
    return text


def _id_from(name: str, collection: str, pattern: re.Pattern[str], letters: str, field: str) -> str:
    head, _, tail = name.partition("/")
    if head != collection or not pattern.fullmatch(tail):
        raise InvalidInputError(
            "BAD_REQUEST",
            field,
            f"{field} is {name[:100]!r}; it must be '{collection}/' and {letters}",
        )
    return tail


def _random(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))
