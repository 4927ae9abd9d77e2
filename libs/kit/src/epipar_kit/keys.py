"""Store keys: relative posix paths that can never name anything outside the store."""

from __future__ import annotations

import re
import unicodedata

from epipar_kit.errors import InvalidInputError

MAX_KEY_BYTES = 1024
MAX_PART_BYTES = 240
"""Room is left for ".NAME.epipar" in the 255 bytes that file systems allow."""

_DRIVE = re.compile(r"[A-Za-z]:")
_HIDDEN = re.compile(r"\..*\.epipar", re.DOTALL)


def is_hidden_part(part: str) -> bool:
    """Tell whether a name is one of the store's own, such as ".scene.epipar"."""
    return _HIDDEN.fullmatch(part) is not None


def hidden_name(name: str) -> str:
    """Return the name of the private folder beside a target."""
    return f".{name}.epipar"


def checked_key(key: str, *, field: str = "uri") -> str:
    """Return the key as it is, or refuse it.

    Args:
        key: relative posix path, at most 1024 bytes of UTF-8, each part at most 240. Spaces and
            non-ASCII letters are allowed; parts like ".NAME.epipar" belong to the store.
        field: request field to name in the error.

    Raises:
        InvalidInputError: BAD_URI, with what is wrong.
    """
    fault = _fault_of(key)
    if fault is not None:
        shown = key if len(key) <= 80 else f"{key[:77]}..."
        raise InvalidInputError("BAD_URI", field, f"{field} {shown!r} {fault}")
    return key


def _fault_of(key: str) -> str | None:
    if not key:
        return "is empty; it must be a relative path such as 'scenes/office'"
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if size > MAX_KEY_BYTES:
        return f"is {size} bytes long; at most {MAX_KEY_BYTES} are allowed"
    if key.startswith("/"):
        return "is absolute; it must be relative to the store"
    if "\\" in key:
        return "contains a backslash; parts are separated by '/'"
    if any(unicodedata.category(letter) == "Cc" for letter in key):
        return "contains a control character"
    if _DRIVE.match(key):
        return "begins with a drive letter; it must be relative to the store"
    return next((fault for fault in map(_fault_of_part, key.split("/")) if fault), None)


def _fault_of_part(part: str) -> str | None:
    if not part:
        return "has an empty part; remove the extra '/'"
    if part in {".", ".."}:
        return f"has the part {part!r}; only plain names are allowed"
    if len(part.encode()) > MAX_PART_BYTES:
        return f"has a part of {len(part.encode())} bytes; at most {MAX_PART_BYTES} are allowed"
    if is_hidden_part(part):
        return f"has the part {part!r}, a name that the store keeps for itself"
    return None
