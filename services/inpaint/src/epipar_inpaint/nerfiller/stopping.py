"""A stop that somebody may ask for while a run is on its way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from epipar_kit.errors import CallEndedError


class Stop:
    """Asked for once, seen by many."""

    def __init__(self) -> None:
        self._asked = False
        self._calls: list[Callable[[], None]] = []

    @property
    def asked(self) -> bool:
        """Whether somebody asked."""
        return self._asked

    def ask(self) -> None:
        """Ask; takes no lock, so that a signal handler may call it."""
        self._asked = True
        for call in list(self._calls):
            call()

    @contextmanager
    def calling(self, call: Callable[[], None]) -> Iterator[None]:
        """Have something called when a stop is asked for; at once where it has been."""
        self._calls.append(call)
        if self._asked:
            call()
        try:
            yield
        finally:
            self._calls.remove(call)

    def raise_if_asked(self) -> None:
        """Raise where a stop was asked for.

        Raises:
            CallEndedError: CANCELLED.
        """
        if self._asked:
            raise CallEndedError("CANCELLED", "the completion was cancelled; it can be resumed")


@contextmanager
def asked_by_sigterm() -> Iterator[Stop]:
    """For the length of the block SIGTERM asks for a stop, where this is the main thread."""
    stop = Stop()

    def ask(_number: int, _frame: FrameType | None) -> None:
        stop.ask()

    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, ask) if is_main else None
    try:
        yield stop
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
