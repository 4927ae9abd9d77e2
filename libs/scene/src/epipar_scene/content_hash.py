"""The hash of input and options by which a result is found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 1 << 20


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value: sorted keys, no spaces, ASCII, floats by repr.

    Equal values of one type give equal bytes; 1 and 1.0 differ, as they do in JSON's text.

    Raises:
        ValueError: a number is not finite.
        TypeError: a value is not JSON, or a key is not a string.
    """
    _check_keys(value)
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return text.encode("ascii")


def sha256_of_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, 64 hex digits; read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def sha256_of_input(path: Path) -> str:
    """Return the sha256 of a file, or of a folder's files with their names, whatever their order.

    A folder's hash is that of the canonical JSON of {path inside, with slashes: sha256}; times and
    empty folders do not count.

    Raises:
        FileNotFoundError: there is neither.
    """
    if not path.is_dir():
        return sha256_of_file(path)
    files = (file for file in path.rglob("*") if file.is_file())
    listing = {file.relative_to(path).as_posix(): sha256_of_file(file) for file in files}
    return hashlib.sha256(canonical_json(listing)).hexdigest()


def content_hash(input_sha256: str, options: Mapping[str, Any]) -> str:
    """Return the sha256 (64 hex digits) that stands for "this input with these options".

    Args:
        input_sha256: of the input, as sha256_of_input gives it.
        options: everything else that the result depends on, as JSON values: settings with their
            defaults filled in, the engine's name and version.
    """
    key = {"input": input_sha256, "options": dict(options)}
    return hashlib.sha256(canonical_json(key)).hexdigest()


def _check_keys(value: Any) -> None:
    """Refuse keys that json would quietly turn into strings: {1: ...} and {"1": ...} must differ."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key is {key!r}; it must be a string")
            _check_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item)
