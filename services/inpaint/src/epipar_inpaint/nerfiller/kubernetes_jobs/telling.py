"""What a run says, read from the store and handed on: progress at once, its end when it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from epipar_inpaint.nerfiller.kubernetes_jobs.run_files import RunFiles
from epipar_inpaint.nerfiller.runner import OnLine

_ENDS = ("result", "error")


class Teller:
    """Reads the events of a run in order.

    A run may need several pods, and each says how it ended; only the last one's word counts, and
    only when the Job has ended.

    Args:
        files: of the run.
        output: where previews are brought to.
        on_line: told of events.
        after: key of the last events that are of no interest; "" for all.

    Attributes:
        end: the last pod's result or error; None while it has said neither.
    """

    def __init__(self, files: RunFiles, output: Path, on_line: OnLine, after: str) -> None:
        self.end: dict[str, Any] | None = None
        self._files = files
        self._output = output
        self._on_line = on_line
        self._after = after
        self._attempt = ""
        self._words = ""

    def look(self) -> bool:
        """Hand on what is new; return whether there was anything."""
        found = self._files.events_after(self._after)
        for key, lines in found:
            self._after = key
            attempt = key.rpartition("/")[2].partition("-")[0]
            if attempt != self._attempt:
                self._attempt, self.end = attempt, None
            for line in lines:
                self._tell(line)
        return bool(found)

    def waiting(self, words: str) -> None:
        """Tell once why the run waits."""
        if words and words != self._words:
            progress = {"stage": "wait", "done": 0, "total": 0, "unit": "steps", "message": words}
            self._on_line(json.dumps({"event": "progress", **progress}).encode())
        self._words = words

    def finish(self) -> None:
        """Hand on how the last pod ended, if it said so."""
        if self.end is not None:
            self._on_line(json.dumps(self.end).encode())

    def _tell(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        if event.get("event") in _ENDS:
            self.end = event
        elif event.get("event") == "preview":
            path = self._files.fetch(str(event["path"]), self._output)
            self._on_line(json.dumps({**event, "path": str(path)}).encode())
        else:
            self._on_line(line)
