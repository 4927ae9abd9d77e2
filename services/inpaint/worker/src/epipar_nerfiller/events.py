"""What a run says: JSON lines, one event each, on a descriptor that nothing else writes to.

Every event has "event" and "t_s" (seconds since the start):

* started     version, iterations, updates, views, resumed_step
* progress    stage, done, total, unit, message, losses, seconds_left
* preview     path (a picture inside the output folder), update
* checkpoint  step
* warning     message
* result      filled, stage_seconds, metrics, resumed_views; the run is over
* error       kind, message, field, exit_code; the run is over
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

_PERIOD_S = 0.1


class Events:
    """Writes events; at most ten progress events a second, the last of a stage always.

    Args:
        descriptor: where to.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._start_s = time.monotonic()
        self._next_s = 0.0
        self._stage = ""
        self._stage_start: tuple[float, int] = (0.0, 0)

    @classmethod
    def on_stdout(cls) -> Events:
        """Take standard output for events; whatever prints from now on goes to standard error."""
        descriptor = os.dup(1)
        os.dup2(2, 1)
        return cls(descriptor)

    def send(self, event: str, **values: Any) -> None:
        """Write one event; a reader that is gone is no reason to fail."""
        elapsed_s = round(time.monotonic() - self._start_s, 3)
        line = json.dumps({"event": event, "t_s": elapsed_s, **values}) + "\n"
        data = line.encode()
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except BrokenPipeError:
                return

    def progress(
        self,
        stage: str,
        done: int,
        total: int,
        unit: str,
        message: str = "",
        losses: Mapping[str, float] | None = None,
    ) -> None:
        """Say how far a stage is; too many in a row are dropped."""
        now_s = time.monotonic()
        if stage != self._stage:
            self._stage, self._stage_start, self._next_s = stage, (now_s, done), 0.0
        if now_s < self._next_s and done < total:
            return
        self._next_s = now_s + _PERIOD_S
        values: dict[str, Any] = {"stage": stage, "done": done, "total": total, "unit": unit}
        if message:
            values["message"] = message
        if losses:
            values["losses"] = {name: round(value, 6) for name, value in losses.items()}
        start_s, start = self._stage_start
        if done > start:
            values["seconds_left"] = round((now_s - start_s) / (done - start) * (total - done), 1)
        self.send("progress", **values)
