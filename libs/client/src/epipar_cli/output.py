"""What a person or a program sees: bars on a terminal, plain lines elsewhere, JSON on request.

Progress and errors go to standard error, results to standard output; with `--json` everything is
one JSON object a line on standard output, the last one being the result or the error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from epipar_client import EpiparError, Progress

_PLAIN_STEPS = 10
"""A stage is reported this often where there is no terminal."""


class Reporter(Protocol):
    """Where a command says what happens."""

    def progress(self, progress: Progress, **facts: Any) -> None:
        """Show how far the running stage is; `step` in the facts names what the stage is of."""

    def event(self, event: str, text: str, facts: Mapping[str, Any]) -> None:
        """Tell something that happened, as text or as facts."""

    def ready(self, text: str, facts: Mapping[str, Any]) -> None:
        """Tell, once, that what was asked for runs."""

    def result(self, text: str, facts: Mapping[str, Any]) -> None:
        """Tell what came out, last."""

    def error(self, error: EpiparError) -> None:
        """Tell why nothing came out, last."""

    def close(self) -> None:
        """Put the terminal back as it was."""


def reporter_for(*, as_json: bool) -> Reporter:
    """Choose how to report: JSON lines if asked for, bars on a terminal, plain lines elsewhere."""
    if as_json:
        return JsonReporter()
    return BarReporter(Console(stderr=True)) if sys.stderr.isatty() else PlainReporter()


class JsonReporter:
    """One JSON object a line on standard output."""

    def progress(self, progress: Progress, **facts: Any) -> None:
        """Write {"event": "progress", "stage", "done", "total", "unit", "message", ...facts}."""
        self._write(
            {
                "event": "progress",
                "stage": progress.stage,
                "done": progress.done,
                "total": progress.total,
                "unit": progress.unit,
                "message": progress.message,
                **facts,
            }
        )

    def event(self, event: str, text: str, facts: Mapping[str, Any]) -> None:
        """Write the facts under the event's name."""
        self._write({"event": event, **facts})

    def ready(self, text: str, facts: Mapping[str, Any]) -> None:
        """Write {"event": "ready", ...facts}."""
        self._write({"event": "ready", **facts})

    def result(self, text: str, facts: Mapping[str, Any]) -> None:
        """Write {"event": "result", ...facts}."""
        self._write({"event": "result", **facts})

    def error(self, error: EpiparError) -> None:
        """Write {"event": "error", "reason", "message", "field", "metadata", "request_id"}."""
        self._write(
            {
                "event": "error",
                "reason": error.reason,
                "message": error.message,
                "field": error.field,
                "metadata": dict(error.metadata),
                "request_id": error.request_id,
            }
        )

    def close(self) -> None:
        """Nothing to put back."""

    def _write(self, line: Mapping[str, Any]) -> None:
        print(json.dumps(line), flush=True)


class PlainReporter:
    """Lines that a log file or a pager can hold."""

    def __init__(self) -> None:
        self._told: tuple[str, int] = ("", -1)

    def progress(self, progress: Progress, **facts: Any) -> None:
        """Write a line when a stage begins and at every tenth of it."""
        label = label_of(progress.stage, facts.get("step"))
        tenth = int((progress.share or 0.0) * _PLAIN_STEPS)
        if (label, tenth) == self._told:
            return
        self._told = (label, tenth)
        print(f"{label} {counts_of(progress)}".rstrip(), file=sys.stderr, flush=True)

    def event(self, event: str, text: str, facts: Mapping[str, Any]) -> None:
        """Write the text."""
        print(text, file=sys.stderr, flush=True)

    def ready(self, text: str, facts: Mapping[str, Any]) -> None:
        """Write the text on standard output."""
        print(text, flush=True)

    def result(self, text: str, facts: Mapping[str, Any]) -> None:
        """Write the text on standard output."""
        print(text, flush=True)

    def error(self, error: EpiparError) -> None:
        """Write one line."""
        print(line_of(error), file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to put back."""


class BarReporter:
    """One bar a stage, with counts and the time that remains."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}

    def progress(self, progress: Progress, **facts: Any) -> None:
        """Move the stage's bar; a stage that is seen first completes the ones before it."""
        bars = self._running_bars()
        label = label_of(progress.stage, facts.get("step"))
        if label not in self._tasks:
            self._complete_all(bars)
            self._tasks[label] = bars.add_task(label, total=None, counts="", note="")
        notes = (progress.message, remaining_of(facts.get("remaining_s") or 0.0))
        bars.update(
            self._tasks[label],
            completed=progress.done,
            total=progress.total or None,
            counts=counts_of(progress),
            note=", ".join(filter(None, notes)),
        )

    def event(self, event: str, text: str, facts: Mapping[str, Any]) -> None:
        """Write the text above the bars."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def ready(self, text: str, facts: Mapping[str, Any]) -> None:
        """Write the text on standard output."""
        print(text, flush=True)

    def result(self, text: str, facts: Mapping[str, Any]) -> None:
        """Complete the bars and write the text on standard output."""
        if self._bars is not None:
            self._complete_all(self._bars)
        self.close()
        print(text, flush=True)

    def error(self, error: EpiparError) -> None:
        """Leave the bars as they stand and write one line."""
        self.close()
        self._console.print(line_of(error), markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Stop drawing; the next progress begins new bars."""
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks.clear()

    def _running_bars(self) -> Bars:
        if self._bars is None:
            self._bars = Bars(
                TextColumn("{task.description:<20}", markup=False),
                BarColumn(bar_width=28),
                TextColumn("{task.fields[counts]:>16}", markup=False),
                TimeElapsedColumn(),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[note]}", style="dim", markup=False),
                console=self._console,
            )
            self._bars.start()
        return self._bars

    def _complete_all(self, bars: Bars) -> None:
        for task in self._tasks.values():
            total = bars.tasks[bars.task_ids.index(task)].total
            bars.update(task, completed=total or 1, total=total or 1, note="")


def label_of(stage: str, step: str | None = None) -> str:
    """Return a stage's name for a person: "mesh_fusion" of "depth" becomes "depth: mesh fusion"."""
    name = stage.replace("_", " ")
    return f"{step}: {name}" if step and step != stage else name


def counts_of(progress: Progress) -> str:
    """Return how far a stage is: "4/60 frames", "1.5/20.0 MB"; empty where that is not known."""
    if not progress.total:
        return ""
    if progress.unit == "bytes":
        return f"{progress.done / 1e6:.1f}/{progress.total / 1e6:.1f} MB"
    return f"{progress.done}/{progress.total} {progress.unit}"


def remaining_of(seconds: float) -> str:
    """Return how long a job still takes, for a person; empty where that is not known."""
    if seconds <= 0:
        return ""
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes else "less than a minute left"


def line_of(error: EpiparError) -> str:
    """Return the one line that tells an error: "epipar: SPLIT_MODEL: 31 of 60 frames ..."."""
    message = " ".join(error.message.split())
    request = f" (request {error.request_id})" if error.reason == "INTERNAL" else ""
    return f"epipar: {error.reason}: {message}{request if error.request_id else ''}"


def jsonable(value: Any) -> Any:
    """Return facts as JSON can hold them: times as ISO 8601 text."""
    match value:
        case datetime():
            return value.isoformat()
        case Mapping():
            return {key: jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [jsonable(item) for item in value]
        case _:
            return value
