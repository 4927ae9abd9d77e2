"""What every engine keeps of its stages: how long each took, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from epipar_kit.events import Report


class StageClock:
    """Times stages and counts their frames.

    Attributes:
        timings: wall seconds by stage, this run only.
    """

    def __init__(self) -> None:
        self.timings: dict[str, float] = {}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Keep how long a stage took, once it is done."""
        start_s = time.monotonic()
        yield
        self.timings[stage] = round(time.monotonic() - start_s, 3)


def frame_counter(report: Report, stage: str, total: int) -> Callable[[int], None]:
    """Return a function that tells how many frames of a stage are done."""

    def count(done: int) -> None:
        # A container's promise may be too low; then the total is not known.
        report(stage, done, total if done <= total else 0, "frames")

    return count
