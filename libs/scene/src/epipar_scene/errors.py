"""What a file that is not what it should be raises."""

from __future__ import annotations

import os
from typing import Any

_MAX_SEEN_CHARACTERS = 200


class SceneFormatError(ValueError):
    """A file of a scene is missing or does not hold what it must.

    Attributes:
        file: the file, as a path.
        field: what in it is wrong: a key, "shape", "file".
        seen: the value found there, shortened to 200 characters.
        wanted: what would have been accepted, in words.
    """

    def __init__(self, file: str | os.PathLike[str], field: str, seen: Any, wanted: str) -> None:
        self.file = os.fspath(file)
        self.field = field
        self.seen = _shortened(seen)
        self.wanted = wanted
        super().__init__(self.file, self.field, self.seen, self.wanted)

    def __str__(self) -> str:
        return f"{self.file}: {self.field} is {self.seen}; it must be {self.wanted}"


def _shortened(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    if len(text) <= _MAX_SEEN_CHARACTERS:
        return text
    return text[: _MAX_SEEN_CHARACTERS - 1] + "…"
