"""A job's side of a model host: ask, wait, repeat once where the host was restarted meanwhile."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

from epipar_depth.chunks import OutOfMemory
from epipar_depth.da3.wire import ConnectionEndedError, Message, receive, send
from epipar_kit.errors import WorkerDiedError, error_from_dict

_CONNECT_S = 60.0  # a host that is started anew imports torch first
_TRIES = 3


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What a host says of itself.

    Attributes:
        device: such as "cuda:0 (NVIDIA L4)".
        models: loaded now, least recently used first.
        jobs: connected beside the one that asks.
        waiting: chunks that wait.
        busy: a chunk runs.
        free_mib: memory that a pass may use.
    """

    device: str
    models: tuple[str, ...]
    jobs: int
    waiting: int
    busy: bool
    free_mib: int


class HostClient:
    """One connection, which is one job to the host; a context manager.

    Args:
        address: the host's socket.
        while_waiting: called every 0.2 s of waiting; what it raises ends the wait.
        connect_s: how long to wait for a host that does not listen yet.
    """

    def __init__(
        self,
        address: Path,
        while_waiting: Callable[[], None] = lambda: None,
        connect_s: float = _CONNECT_S,
    ) -> None:
        self._address = address
        self._while_waiting = while_waiting
        self._connect_s = connect_s
        self._connection: socket.socket | None = None

    def __enter__(self) -> Self:
        """Connect at the first question."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave; the host drops what this job still has there."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def status(self) -> HostStatus:
        """Ask the host about itself; answered also while a chunk runs."""
        header = dict(self._ask(Message({"op": "status"})).header)
        return HostStatus(**{**header, "models": tuple(header["models"])})

    def fits(self, model: str, height: int, width: int) -> int:
        """Ask how many images one pass of a model may have."""
        question = {"op": "fits", "model": model, "height": height, "width": width}
        return int(self._ask(Message(question)).header["fits"])

    def load(self, model: str) -> None:
        """Have a model loaded."""
        self._ask(Message({"op": "load", "model": model}))

    def predict(
        self, model: str, arrays: Mapping[str, npt.NDArray[Any]], *, dtype: str, seed: int
    ) -> tuple[Mapping[str, npt.NDArray[Any]], bool]:
        """Run one pass; see network.TorchNetwork.predict.

        Raises:
            OutOfMemory: fewer images may fit.
            EpiparError: what the host raised.
            WorkerDiedError: the host died, and died again.
        """
        question = {"op": "predict", "model": model, "dtype": dtype, "seed": seed}
        answer = self._ask(Message(question, arrays))
        if "device_full" in answer.header:
            raise OutOfMemory(f"{answer.header['device_full']} images of {model!r} fit")
        return answer.arrays, bool(answer.header["is_metric"])

    def _ask(self, question: Message) -> Message:
        for left in reversed(range(_TRIES)):
            try:
                connection = self._connected()
                send(connection, question)
                answer = receive(connection, self._while_waiting)
            except ConnectionEndedError as error:
                self.close()
                if not left:
                    raise WorkerDiedError(
                        f"the model host died {_TRIES} times over one chunk ({error}); a smaller "
                        "model or chunk may fit"
                    ) from None
                continue
            if "error" in answer.header:
                raise error_from_dict(answer.header["error"])
            return answer
        raise AssertionError("not reached")

    def _connected(self) -> socket.socket:
        deadline_s = time.monotonic() + self._connect_s
        while self._connection is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connection.connect(str(self._address))
            except OSError as error:
                connection.close()
                if time.monotonic() > deadline_s:
                    raise ConnectionEndedError(f"no host answers: {error}") from None
                self._while_waiting()
                with suppress(InterruptedError):
                    time.sleep(0.05)
            else:
                self._connection = connection
        return self._connection
