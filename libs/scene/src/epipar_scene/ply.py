"""Binary little-endian PLY: the cloud format that every other tool opens, streamed both ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from epipar_scene.atomic import atomic_file
from epipar_scene.clouds import PointCloud, concatenate
from epipar_scene.errors import SceneFormatError

DEFAULT_CHUNK_POINTS = 1 << 20

_MAX_HEADER_BYTES = 1 << 16
_COUNT_DIGITS = 20
_DTYPE_OF_PLY_TYPE = {
    "char": "<i1", "uchar": "<u1", "short": "<i2", "ushort": "<u2",
    "int": "<i4", "uint": "<u4", "float": "<f4", "double": "<f8",
    "int8": "<i1", "uint8": "<u1", "int16": "<i2", "uint16": "<u2",
    "int32": "<i4", "uint32": "<u4", "float32": "<f4", "float64": "<f8",
}  # fmt: skip
_POSITION_NAMES = ("x", "y", "z")
_COLOR_NAMES = ("red", "green", "blue")


def write_ply(path: str | Path, clouds: Iterable[PointCloud]) -> int:
    """Write clouds one after the other as one PLY file, atomically; one is held at a time.

    Vertices are x y z (float), red green blue (uchar, sRGB), confidence (uchar) and, if the first
    cloud has one, provenance (uchar).

    Returns:
        the number of points written.

    Raises:
        ValueError: some clouds have a provenance and some have none.
    """
    count = 0
    with_provenance: bool | None = None
    with atomic_file(Path(path)) as stream:
        for cloud in clouds:
            if with_provenance is None:
                with_provenance = cloud.provenance is not None
                stream.write(_header(0, with_provenance=with_provenance))
            if with_provenance != (cloud.provenance is not None):
                raise ValueError("some clouds have a provenance; all or none must have one")
            _write_vertices(stream, cloud)
            count += len(cloud)
        # The count is known only now; the header is padded so that its length does not depend
        # on it, and written (again) over the beginning.
        stream.seek(0)
        stream.write(_header(count, with_provenance=bool(with_provenance)))
    return count


def read_ply(path: str | Path) -> PointCloud:
    """Read a PLY file whole; see iter_ply."""
    return concatenate(iter_ply(path))


def iter_ply(path: str | Path, *, chunk_points: int = DEFAULT_CHUNK_POINTS) -> Iterator[PointCloud]:
    """Read a PLY file in clouds of at most chunk_points points.

    Positions (float or double) and colours (uchar) must be there; a missing confidence reads as
    255, other scalar properties are skipped. Vertices must be the only element.

    Raises:
        SceneFormatError: the file is missing, not such a PLY, or not as long as its header says.
        ValueError: chunk_points is below 1.
    """
    if chunk_points < 1:
        raise ValueError(f"chunk_points is {chunk_points}; it must be at least 1")
    path = Path(path)
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        raise SceneFormatError(path, "file", "missing", "present") from None
    with stream:
        count, dtype = _read_header(path, stream)
        size, wanted = path.stat().st_size, stream.tell() + count * dtype.itemsize
        if size != wanted:
            raise SceneFormatError(path, "size", f"{size} bytes", f"{wanted} bytes")
        for start in range(0, count, chunk_points):
            length = min(chunk_points, count - start)
            yield _cloud(path, np.fromfile(stream, dtype, length))


def _header(count: int, *, with_provenance: bool) -> bytes:
    padding = " " * (_COUNT_DIGITS - len(str(count)))
    lines = [
        "ply",
        "format binary_little_endian 1.0",
        f"comment axes x right, y down, z forward{padding}",
        f"element vertex {count}",
        *(f"property float {name}" for name in _POSITION_NAMES),
        *(f"property uchar {name}" for name in _COLOR_NAMES),
        "property uchar confidence",
        *(["property uchar provenance"] if with_provenance else []),
        "end_header",
    ]
    return ("\n".join(lines) + "\n").encode("ascii")


def _write_vertices(stream: IO[bytes], cloud: PointCloud) -> None:
    fields: list[Any] = [("position", "<f4", 3), ("color", "u1", 3), ("confidence", "u1")]
    if cloud.provenance is not None:
        fields.append(("provenance", "u1"))
    for start in range(0, len(cloud), DEFAULT_CHUNK_POINTS):
        part = slice(start, start + DEFAULT_CHUNK_POINTS)
        vertices = np.empty(len(cloud.positions[part]), np.dtype(fields))
        vertices["position"] = cloud.positions[part]
        vertices["color"] = cloud.colors[part]
        vertices["confidence"] = cloud.confidence[part]
        if cloud.provenance is not None:
            vertices["provenance"] = cloud.provenance[part]
        stream.write(vertices.view(np.uint8).data)


def _read_header(path: Path, stream: IO[bytes]) -> tuple[int, np.dtype[Any]]:
    lines = _header_lines(path, stream)
    if lines[:2] != [["ply"], ["format", "binary_little_endian", "1.0"]]:
        raise SceneFormatError(path, "format", lines[:2], "binary_little_endian 1.0")
    body = [words for words in lines[2:] if words[:1] not in ([], ["comment"], ["obj_info"])]
    if not body or body[0][:2] != ["element", "vertex"] or len(body[0]) != 3:
        raise SceneFormatError(path, "header", body[:1], "'element vertex COUNT' first")
    if not (body[0][2].isascii() and body[0][2].isdigit() and len(body[0][2]) <= _COUNT_DIGITS):
        raise SceneFormatError(path, "vertex count", body[0][2], "a whole number")
    fields = []
    for words in body[1:]:
        if len(words) != 3 or words[0] != "property" or words[1] not in _DTYPE_OF_PLY_TYPE:
            raise SceneFormatError(path, "header", " ".join(words), "scalar vertex properties only")
        fields.append((words[2], _DTYPE_OF_PLY_TYPE[words[1]]))
    names = [name for name, _ in fields]
    if len(set(names)) != len(names):
        raise SceneFormatError(path, "properties", names, "each named once")
    _check_properties(path, dict(fields))
    return int(body[0][2]), np.dtype(fields)


def _header_lines(path: Path, stream: IO[bytes]) -> list[list[str]]:
    lines: list[list[str]] = []
    while stream.tell() < _MAX_HEADER_BYTES:
        line = stream.readline(_MAX_HEADER_BYTES)
        if not line.endswith(b"\n"):
            break
        words = line.decode("latin-1").split()
        if words == ["end_header"]:
            return lines
        lines.append(words)
    raise SceneFormatError(path, "header", "without end", f"ended within {_MAX_HEADER_BYTES} bytes")


def _check_properties(path: Path, dtype_of_name: dict[str, str]) -> None:
    for name in _POSITION_NAMES:
        if dtype_of_name.get(name) not in ("<f4", "<f8"):
            seen = dtype_of_name.get(name, "missing")
            raise SceneFormatError(path, f"property {name}", seen, "float or double")
    optional = [name for name in ("confidence", "provenance") if name in dtype_of_name]
    for name in (*_COLOR_NAMES, *optional):
        if dtype_of_name.get(name) != "<u1":
            seen = dtype_of_name.get(name, "missing")
            raise SceneFormatError(path, f"property {name}", seen, "uchar")


def _cloud(path: Path, vertices: np.ndarray[Any, Any]) -> PointCloud:
    names = vertices.dtype.names or ()
    positions = np.stack([vertices[name] for name in _POSITION_NAMES], axis=1)
    confidence = np.full(len(vertices), 255, np.uint8)
    if "confidence" in names:
        confidence = np.ascontiguousarray(vertices["confidence"])
    provenance = np.ascontiguousarray(vertices["provenance"]) if "provenance" in names else None
    with np.errstate(over="ignore"):
        positions = positions.astype(np.float32)
    if not np.isfinite(positions).all():
        raise SceneFormatError(path, "positions", "not finite", "finite float32")
    colors = np.stack([vertices[name] for name in _COLOR_NAMES], axis=1)
    return PointCloud(positions, colors, confidence, provenance)
