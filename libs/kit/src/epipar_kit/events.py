"""What a running job says: how far it is, and at the end its result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeAlias

MAX_MESSAGE_LETTERS = 200


class Report(Protocol):
    """How work tells its progress; cheap, and safe to call from any thread."""

    def __call__(self, stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        """Say how far a stage is.

        Args:
            stage: lower_snake_case; a stage once left does not come back.
            done: units done, never less than before inside a stage.
            total: units in all; 0 where that is not known yet.
            unit: what is counted, in the plural, such as "frames".
            message: one line for a person.
        """


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How far a stage is: ``done`` of ``total`` units, 0 of 0 where the total is not known."""

    stage: str
    done: int
    total: int
    unit: str
    message: str = ""

    def __post_init__(self) -> None:
        if self.done < 0 or self.total < 0 or (self.total and self.done > self.total):
            raise ValueError(
                f"progress of {self.stage!r} is {self.done} of {self.total}; "
                "it must be 0 to the total, or the total 0 where it is not known"
            )
        if len(self.message) > MAX_MESSAGE_LETTERS:
            raise ValueError(
                f"the message has {len(self.message)} letters, at most {MAX_MESSAGE_LETTERS} are sent"
            )


@dataclass(frozen=True, slots=True)
class ResultEvent:
    """What the work returned, as JSON values. Comes once and last."""

    result: dict[str, Any]


Event: TypeAlias = ProgressEvent | ResultEvent


def progress_event(
    stage: str, done: int, total: int, unit: str, message: str = ""
) -> ProgressEvent:
    """Make a ProgressEvent of what an engine reports, cutting it to the allowed bounds."""
    done, total = max(int(done), 0), max(int(total), 0)
    return ProgressEvent(
        stage, min(done, total) if total else done, total, unit, message[:MAX_MESSAGE_LETTERS]
    )


def progress_to_dict(event: ProgressEvent) -> dict[str, Any]:
    """Return the event as JSON values."""
    return asdict(event)
