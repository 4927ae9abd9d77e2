"""Which bytes a request gets: ranges, validators and encodings, without any HTTP library.

Source: RFC 9110, sections 8.8.3 (ETag), 12.5.3 (Accept-Encoding), 13 (conditions), 14 (ranges).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(.*)", re.IGNORECASE)
_SPEC = re.compile(r"(\d{0,18})-(\d{0,18})")
_TAG = re.compile(r'(W/)?"([^"]*)"')


class UnsatisfiableRangeError(ValueError):
    """The range lies beyond the end."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a file.

    Attributes:
        first: its first byte.
        count: how many bytes.
    """

    first: int
    count: int

    def __post_init__(self) -> None:
        if self.first < 0 or self.count < 1:
            raise ValueError(f"a range of {self.count} bytes at {self.first} is none")

    def content_range(self, size: int) -> str:
        """Return the Content-Range header."""
        return f"bytes {self.first}-{self.first + self.count - 1}/{size}"


def parse_range(header: str, size: int) -> ByteRange | None:
    """Return the part that a Range header asks for, None where all of the file is to be sent.

    Several ranges at once, other units and what cannot be understood are answered by all of the
    file, as RFC 9110 allows.

    Raises:
        UnsatisfiableRangeError: it lies beyond the end.
    """
    match = _RANGE.fullmatch(header.strip())
    spec = _SPEC.fullmatch(match[1].strip()) if match else None
    if spec is None or spec[0] == "-":
        return None
    if not spec[1]:
        count = min(int(spec[2]), size)
        if count == 0:
            raise UnsatisfiableRangeError(f"there are no last {spec[2]} bytes of {size}")
        return ByteRange(size - count, count)
    first = int(spec[1])
    last = min(int(spec[2]), size - 1) if spec[2] else size - 1
    if spec[2] and int(spec[2]) < first:
        return None
    if first >= size:
        raise UnsatisfiableRangeError(f"byte {first} lies beyond {size}")
    return ByteRange(first, last - first + 1)


def matches_none(header: str, etag: str) -> bool:
    """Tell whether If-None-Match names this ETag, so that the client's copy is good."""
    if header.strip() == "*":
        return True
    return any(f'"{tag}"' == etag for _, tag in _TAG.findall(header))


def range_still_holds(if_range: str, etag: str) -> bool:
    """Tell whether the parts a client has are of this file; only a strong ETag can say so."""
    return if_range.strip() == etag


def accepted_encodings(header: str, offered: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of the offered encodings Accept-Encoding allows, in the order offered."""
    weights: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                weight = _weight(value.strip())
        weights[name.lower()] = weight
    return tuple(name for name in offered if weights.get(name, weights.get("*", 0.0)) > 0)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
