"""The last step in TensorBoard event files, read without TensorBoard.

A file is a row of records: length (8 bytes, little endian), its checksum (4), the data, its
checksum (4). The data is a protobuf message whose field 2 is the step, a varint. A record that is
not written whole yet ends the reading. Checksums are not compared: it is only progress.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_BYTES = 1 << 30
_MAX_RECORD_BYTES = 64 << 20
_HEADER = struct.Struct("<Q4x")
_FIXED_BYTES = {1: 8, 5: 4}
_VARINT, _BYTES = 0, 2
_STEP_FIELD = 2


def last_step(folder: Path) -> int:
    """Return the largest step in a folder's event files; 0 where there is none."""
    step = 0
    for path in sorted(folder.glob("events.out.tfevents.*")):
        if path.stat().st_size <= MAX_FILE_BYTES:
            step = max((step, *(_step_of(record) for record in _records(path))))
    return step


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while len(header := stream.read(_HEADER.size)) == _HEADER.size:
            (length,) = _HEADER.unpack(header)
            if length > _MAX_RECORD_BYTES:
                return
            data = stream.read(length)
            if len(data) < length:
                return
            stream.read(4)
            yield data


def _step_of(data: bytes) -> int:
    """Return field 2 of a message; 0 where it is absent or the message is broken."""
    place = 0
    try:
        while place < len(data):
            key, place = _varint(data, place)
            number, wire = key >> 3, key & 7
            if wire == _VARINT:
                value, place = _varint(data, place)
                if number == _STEP_FIELD:
                    return value
            elif wire == _BYTES:
                size, place = _varint(data, place)
                place += size
            else:
                place += _FIXED_BYTES[wire]
    except (IndexError, KeyError):
        return 0
    return 0


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # the bit that says "more follows" is clear
            return value, place
        shift += 7
