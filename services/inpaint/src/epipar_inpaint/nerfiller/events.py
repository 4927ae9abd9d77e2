"""What the worker's events mean here: progress, previews, a result, or an error of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from epipar_inpaint.engine import CompletionResult, Preview
from epipar_kit.errors import (
    CallEndedError,
    CorruptArtifactError,
    EpiparError,
    InvalidInputError,
    LimitExceededError,
    NotReadyError,
    WorkerDiedError,
)
from epipar_kit.events import Report

_SHOWN_LOSSES = ("psnr", "color", "depth")
_ARTIFACTS = ("scene", "masks")


class EventReader:
    """Follows one run.

    Args:
        report: told of progress.
        preview: told of previews.

    Attributes:
        result: of the run, once it came.
        error: why it failed, once it said so.
    """

    def __init__(self, report: Report, preview: Preview) -> None:
        self._report = report
        self._preview = preview
        self.result: CompletionResult | None = None
        self.error: EpiparError | None = None

    def read(self, line: bytes) -> None:
        """Take in one line; what is no event is passed over, as it stands in the log anyway."""
        try:
            event = json.loads(line)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        kind = event.get("event")
        if kind == "loading":
            self._report("load", 0, 0, "steps", "starting the worker")
        elif kind == "progress":
            self._report(
                event["stage"], event["done"], event["total"], event["unit"], _message(event)
            )
        elif kind == "preview":
            self._preview(Path(event["path"]))
        elif kind == "result":
            self.result = CompletionResult(
                event["filled"], event["stage_seconds"], event["resumed_views"]
            )
        elif kind == "error":
            self.error = error_of(event)


def error_of(event: dict[str, Any]) -> EpiparError:
    """Return the error that a worker's "error" event stands for."""
    kind, message = event.get("kind"), str(event.get("message", ""))
    field = str(event.get("field") or "options.nerfiller")
    if kind == "BAD_INPUT":
        if field in _ARTIFACTS:
            return CorruptArtifactError("CORRUPT_ARTIFACT", message)
        field = f"options.nerfiller.{field.removeprefix('settings.')}"
        return InvalidInputError("BAD_OPTION", field, message)
    if kind == "WEIGHTS_MISSING":
        return NotReadyError("WEIGHTS_MISSING", message, subject="model_id")
    if kind == "OUT_OF_MEMORY":
        return LimitExceededError("OUT_OF_MEMORY", message, subject="gpu")
    if kind == "STOPPED":
        return CallEndedError("CANCELLED", message)
    if kind == "BAD_CHECKPOINT":
        return CorruptArtifactError("CORRUPT_ARTIFACT", message)
    return WorkerDiedError(message, kind=kind, exit_code=event.get("exit_code"))


def _message(event: dict[str, Any]) -> str:
    parts = [str(event["message"])] if event.get("message") else []
    losses = event.get("losses", {})
    parts += [f"{name} {losses[name]:.3g}" for name in _SHOWN_LOSSES if name in losses]
    if (left_s := event.get("seconds_left")) is not None:
        parts.append(f"{left_s / 60:.0f} min left" if left_s >= 90 else f"{left_s:.0f} s left")
    return ", ".join(parts)
