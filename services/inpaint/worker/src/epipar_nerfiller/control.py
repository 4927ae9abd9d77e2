"""Stopping and watching a run: stop file, SIGTERM, a parent that died, a stall."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from epipar_nerfiller.failures import StalledError, StoppedError

PARENT_GRACE_S = 20.0
"""How long a run whose parent died may take for its checkpoint."""

_POLL_S = 0.25


class Control:
    """Asked by all loops, at least once a second of work, whether to go on.

    Args:
        stop_file: when it appears, the run stops.
        stall_s: seconds without a tick after which the process ends itself.
        on_stall: told before that.
        parent_pid: the process whose end ends this one too; None = nobody's.
    """

    def __init__(
        self,
        stop_file: Path | None = None,
        *,
        stall_s: float = 900.0,
        on_stall: Callable[[str], object] | None = None,
        parent_pid: int | None = None,
    ) -> None:
        self._stop_file = stop_file
        self._stall_s = stall_s
        self._on_stall = on_stall
        self._parent_pid = parent_pid
        self._reason = ""
        self._last_tick_s = time.monotonic()
        self._next_look_s = 0.0
        self._ended = threading.Event()

    def start(self) -> None:
        """Listen to SIGTERM and SIGINT, and begin to watch; only from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def end(self) -> None:
        """Watch no more."""
        self._ended.set()

    def stop(self, reason: str) -> None:
        """Have the next tick raise; safe from any thread and from signal handlers."""
        self._reason = self._reason or reason

    def tick(self) -> None:
        """Show that something moves.

        Raises:
            StoppedError: a stop was asked for.
        """
        now_s = time.monotonic()
        self._last_tick_s = now_s
        if not self._reason and now_s >= self._next_look_s:
            self._next_look_s = now_s + _POLL_S
            if self._stop_file is not None and self._stop_file.exists():
                self.stop("the stop file appeared")
        if self._reason:
            raise StoppedError(f"stopped: {self._reason}")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop(signal.Signals(number).name)

    def _watch(self) -> None:
        orphaned_s: float | None = None
        while not self._ended.wait(_POLL_S):
            now_s = time.monotonic()
            silent_s = now_s - self._last_tick_s
            if silent_s > self._stall_s:
                if self._on_stall is not None:
                    seen = f"nothing moved for {silent_s:.0f} s"
                    self._on_stall(f"{seen}; stall_s is {self._stall_s:g}")
                os._exit(StalledError.exit_code)
            if self._parent_pid is None or os.getppid() == self._parent_pid:
                continue
            orphaned_s = now_s if orphaned_s is None else orphaned_s
            self.stop("the parent process ended")
            if now_s - orphaned_s > PARENT_GRACE_S:
                os._exit(StoppedError.exit_code)
