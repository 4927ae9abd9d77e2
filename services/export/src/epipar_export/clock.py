"""Wall time by stage of one export."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from epipar_export.memory import give_back_freed_memory


class StageClock:
    """Measures stages, and gives back what each has freed.

    Attributes:
        seconds: wall time by stage, as far as they are done.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done inside as one stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 3)
            give_back_freed_memory()
