"""JSON that is read strictly and bounded, and written so that every float comes back as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeAlias

from epipar_scene.atomic import atomic_file
from epipar_scene.errors import SceneFormatError

JsonObject: TypeAlias = dict[str, Any]


def read_json_object(path: Path, *, max_bytes: int) -> JsonObject:
    """Read one JSON object; duplicate keys, NaN and Infinity are refused.

    Raises:
        SceneFormatError: the file is missing, larger than max_bytes, or not such an object.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise SceneFormatError(path, "size", f"{size} bytes", f"at most {max_bytes} bytes")
        value = json.loads(
            path.read_text(encoding="utf-8"),
            object_pairs_hook=_object_without_duplicates,
            parse_constant=_refuse_constant,
        )
    except FileNotFoundError:
        raise SceneFormatError(path, "file", "missing", "present") from None
    except IsADirectoryError:
        raise SceneFormatError(path, "file", "a folder", "a file") from None
    except SceneFormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise SceneFormatError(path, "content", str(error), "JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise SceneFormatError(path, "content", type(value).__name__, "a JSON object")
    return value


def write_json_object(path: Path, value: JsonObject) -> None:
    """Write JSON atomically and durably; floats by repr, so that they come back bit for bit.

    Raises:
        ValueError: a number in it is not finite.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_file(path, durable=True) as stream:
        stream.write(text.encode("utf-8") + b"\n")


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> JsonObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"keys given twice: {', '.join(twice)}")
    return result


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
