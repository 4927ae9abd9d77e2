"""export.json: what an export holds and how it was made; written last."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from epipar_export.options import ExportOptions
from epipar_scene.atomic import atomic_file
from epipar_scene.content_hash import content_hash

FILE_NAME = "export.json"
SCHEMA_VERSION = 1
FORMAT_VERSION = 3
"""Raised when the same options give other files; part of every content hash."""

MEDIA_TYPES = {
    ".glb": "model/gltf-binary",
    ".json": "application/json",
    ".ply": "application/ply",
}


@dataclass(frozen=True, slots=True)
class Level:
    """One level of detail.

    Attributes:
        name: "preview", "medium" or "full".
        lod_level: 0 is the coarsest.
        points: in it; the first so many of each finer level.
        spacing: least distance of two of its points, scene units; the grid's step for an
            unthinned level.
        size_bytes: of its GLB; 0 if none was written.
    """

    name: str
    lod_level: int
    points: int
    spacing: float
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """One written file.

    Attributes:
        name: its name.
        uri: its path relative to the export's folder.
        media_type: IANA media type.
        size_bytes: its size.
        sha256: of its bytes, 64 hex digits.
        lod_level: where it is a level of detail.
    """

    name: str
    uri: str
    media_type: str
    size_bytes: int
    sha256: str
    lod_level: int | None = None


def export_hash(input_hash: str, options: ExportOptions) -> str:
    """Return the hash that stands for "this scene exported with these options".

    Args:
        input_hash: the scene's content_hash, 64 hex digits.
        options: of the export.
    """
    return content_hash(input_hash, {"export": FORMAT_VERSION, **options.to_dict()})


def exported_file(
    path: Path, data: bytes | None = None, lod_level: int | None = None
) -> ExportedFile:
    """Describe a file at the top of the export's folder; read back unless its bytes are given."""
    if data is not None:
        digest, size = hashlib.sha256(data).hexdigest(), len(data)
    else:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = path.stat().st_size
    return ExportedFile(path.name, path.name, MEDIA_TYPES[path.suffix], size, digest, lod_level)


def write_manifest(output: Path, content: dict[str, Any]) -> ExportedFile:
    """Write export.json durably and describe it."""
    data = (json.dumps({"schema_version": SCHEMA_VERSION, **content}, indent=1) + "\n").encode()
    with atomic_file(output / FILE_NAME, durable=True) as stream:
        stream.write(data)
    return exported_file(output / FILE_NAME, data)


def json_of(values: tuple[Level, ...] | tuple[ExportedFile, ...]) -> list[dict[str, Any]]:
    """Return dataclasses as JSON objects."""
    return [asdict(value) for value in values]
