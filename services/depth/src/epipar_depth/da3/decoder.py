"""A source decoded in a process of its own: a file that crashes its decoder takes nothing else along.

Jobs are such processes already and decode for themselves. A service that works in a thread must
live on whatever is in a caller's file: it asks ``python -m epipar_depth.da3.decoder`` for frames.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from epipar_depth.da3.wire import ConnectionEndedError, Message, receive, send
from epipar_depth.sources import Source, SourceFrame, SourceLimits, open_source
from epipar_kit.errors import WorkerDiedError, error_from_dict, error_to_dict, typed_error
from epipar_kit.worker import die_with_parent

_END_S = 1.0


@dataclass(frozen=True, slots=True)
class _Probed:
    """What a source says of itself; see sources.Source."""

    name: str
    size_bytes: int
    is_video: bool
    size: tuple[int, int]
    expected_frames: int


class ApartSource:
    """A source that a process of its own decodes; a sources.Source.

    Raises:
        EpiparError: what open_source raises.
        WorkerDiedError: WORKER_DIED, the process was killed, or the decoder crashed.
    """

    def __init__(
        self,
        path: Path,
        limits: SourceLimits,
        process: subprocess.Popen[bytes],
        connection: socket.socket,
        while_waiting: Callable[[], None],
    ) -> None:
        self._process = process
        self._connection = connection
        self._while_waiting = while_waiting
        header = self._asked({"op": "open", "path": str(path), "limits": asdict(limits)}).header
        probed = _Probed(**{**header["source"], "size": tuple(header["source"]["size"])})
        self.name = probed.name
        self.size_bytes = probed.size_bytes
        self.is_video = probed.is_video
        self.size = probed.size
        self.expected_frames = probed.expected_frames

    def frames(self) -> Iterator[SourceFrame]:
        """Decode all frames in order; see Source.frames."""
        answer = self._asked({"op": "frames"})
        while "key" in answer.header:
            yield SourceFrame(answer.header["key"], answer.arrays["bgr"])
            answer = self._asked({"op": "next"})

    def _asked(self, question: dict[str, Any]) -> Message:
        try:
            send(self._connection, Message(question))
            answer = receive(self._connection, self._while_waiting)
        except ConnectionEndedError:
            raise self._died() from None
        if "error" in answer.header:
            raise error_from_dict(answer.header["error"])
        return answer

    def _died(self) -> WorkerDiedError:
        try:
            status = self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            status = 0
        how = f"signal {-status}" if status < 0 else f"exit {status}"
        return WorkerDiedError(f"the process that decoded the input ended early ({how})")


@contextmanager
def opened_apart(
    path: Path, limits: SourceLimits, while_waiting: Callable[[], None] = lambda: None
) -> Iterator[ApartSource]:
    """Yield a source that a process of its own decodes; it is ended afterwards.

    Args:
        path: of the source.
        limits: bounds of what is read.
        while_waiting: called every 0.2 s of waiting; what it raises ends the wait.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, no shell
            [
                *(sys.executable, "-P", "-m", "epipar_depth.da3.decoder"),
                *(str(theirs.fileno()), str(os.getpid())),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        try:
            yield ApartSource(path, limits, process, ours, while_waiting)
        finally:
            process.kill()
            process.wait()


@contextmanager
def opened_here(path: Path, limits: SourceLimits) -> Iterator[Source]:
    """Yield a source that this process decodes, for jobs."""
    yield open_source(path, limits)


class _Decoder:
    """The process's side: answers one question after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._source: Source | None = None
        self._frames: Iterator[SourceFrame] = iter(())

    def run(self) -> None:
        """Answer until the other side is gone."""
        try:
            while True:
                question = receive(self._connection).header
                try:
                    answer = self._answer(question)
                except Exception as error:  # noqa: BLE001 - the edge of the process
                    answer = Message({"error": error_to_dict(typed_error(error))})
                send(self._connection, answer)
        except ConnectionEndedError:
            return

    def _answer(self, question: Mapping[str, Any]) -> Message:
        if question["op"] == "open":
            source = open_source(Path(question["path"]), SourceLimits(**question["limits"]))
            self._source = source
            names = _Probed.__slots__
            return Message({"source": {name: getattr(source, name) for name in names}})
        if self._source is None:
            raise ValueError("nothing is open")
        if question["op"] == "frames":
            self._frames = self._source.frames()
        frame = next(self._frames, None)
        if frame is None:
            return Message({"ended": True})
        return Message({"key": frame.key}, {"bgr": frame.bgr})


def main() -> int:
    """Decode for the process that holds the other end of a socket; return the exit status."""
    descriptor, parent_pid = int(sys.argv[1]), int(sys.argv[2])
    die_with_parent(parent_pid)
    with socket.socket(fileno=descriptor) as connection:
        _Decoder(connection).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
