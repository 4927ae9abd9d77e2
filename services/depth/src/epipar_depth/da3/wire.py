"""Messages between a job and a model host: a JSON header and the arrays behind it, on a socket.

One message is: 4 bytes length of the header, the header, the bytes of each array in the order in
which the header lists them. Nothing in a message is code; both sides bound what they accept.
"""

from __future__ import annotations

import json
import math
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_HEADER_BYTES = 1024 * 1024
MAX_ARRAYS = 16
MAX_ARRAY_BYTES = 8 * 2**30

_LENGTH = struct.Struct("!I")
_DTYPES = frozenset({"uint8", "float32", "float64", "bool"})
_POLL_S = 0.2


class ConnectionEndedError(ConnectionError):
    """The other side is gone."""


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One message.

    Attributes:
        header: JSON values; "arrays" is taken.
        arrays: by name; uint8, float32, float64 or bool.
    """

    header: Mapping[str, Any]
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


def send(connection: socket.socket, message: Message) -> None:
    """Send a message whole.

    Raises:
        ConnectionEndedError: the other side is gone.
    """
    listing = [[name, str(a.dtype), list(a.shape)] for name, a in message.arrays.items()]
    header = json.dumps({**message.header, "arrays": listing}).encode()
    try:
        connection.sendall(_LENGTH.pack(len(header)) + header)
        for array in message.arrays.values():
            connection.sendall(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    except OSError as error:
        raise ConnectionEndedError(str(error)) from None


def receive(connection: socket.socket, while_waiting: Callable[[], None] = lambda: None) -> Message:
    """Wait for a message and return it.

    Args:
        connection: a connected stream socket.
        while_waiting: called every 0.2 s of waiting; what it raises ends the wait.

    Raises:
        ConnectionEndedError: the other side is gone, or speaks something else.
    """
    length = _LENGTH.unpack(_read(connection, _LENGTH.size, while_waiting))[0]
    if length > MAX_HEADER_BYTES:
        raise ConnectionEndedError(f"a header has {length} bytes; at most {MAX_HEADER_BYTES}")
    header = json.loads(bytes(_read(connection, length, while_waiting)))
    listing = header.pop("arrays")
    if len(listing) > MAX_ARRAYS:
        raise ConnectionEndedError(f"a message has {len(listing)} arrays; at most {MAX_ARRAYS}")
    arrays = {
        name: _array(connection, dtype, shape, while_waiting) for name, dtype, shape in listing
    }
    return Message(header, arrays)


def _array(
    connection: socket.socket, dtype: str, shape: list[int], while_waiting: Callable[[], None]
) -> npt.NDArray[Any]:
    if dtype not in _DTYPES or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ConnectionEndedError(f"an array is {dtype} {shape}; it must be one of {_DTYPES}")
    size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if size_bytes > MAX_ARRAY_BYTES:
        raise ConnectionEndedError(f"an array has {size_bytes} bytes; at most {MAX_ARRAY_BYTES}")
    data = _read(connection, size_bytes, while_waiting)
    return np.frombuffer(data, dtype).reshape(shape)


def _read(connection: socket.socket, count: int, while_waiting: Callable[[], None]) -> bytearray:
    data = bytearray(count)
    view, done = memoryview(data), 0
    connection.settimeout(_POLL_S)
    try:
        while done < count:
            try:
                received = connection.recv_into(view[done:])
            except TimeoutError:
                while_waiting()
                continue
            except OSError as error:
                raise ConnectionEndedError(str(error)) from None
            if received == 0:
                raise ConnectionEndedError("the connection was closed")
            done += received
    finally:
        connection.settimeout(None)
    return data
