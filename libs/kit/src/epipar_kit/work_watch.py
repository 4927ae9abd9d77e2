"""One piece of work as it is seen from outside: a span and seconds for it and for each stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from epipar_kit.events import ProgressEvent
from epipar_kit.meters import STAGE_SECONDS, WORK_SECONDS
from epipar_kit.telemetry import Attributes, Span, begin, end, inside, traceparent_of


class WorkWatch:
    """Told of a work's progress and end. A stage lasts until the next one is told of.

    Args:
        module: of the job, such as "epipar_depth.job".
    """

    def __init__(self, module: str) -> None:
        self._work = module.removeprefix("epipar_").removesuffix(".job")
        self._service = self._work.partition(".")[0]
        self._span = begin(f"work {self._work}", {"epipar.module": module})
        self._started_s = time.monotonic()
        self._stage: Span | None = None
        self._last: ProgressEvent | None = None
        self._stage_started_s = 0.0

    @property
    def env(self) -> dict[str, str]:
        """Variables by which a child process finds its place in the trace."""
        traceparent = traceparent_of(self._span)
        return {"TRACEPARENT": traceparent} if traceparent else {}

    def progress(self, event: ProgressEvent) -> None:
        """See what the work tells."""
        if self._last is None or event.stage != self._last.stage:
            self._end_stage(None)
            self._stage = begin(event.stage, parent=inside(self._span))
            self._stage_started_s = time.monotonic()
        self._last = event

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Run what this process itself does for the work, as a stage of it without a count."""
        self._end_stage(None)
        started = begin(name, parent=inside(self._span))
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            end(started, error)

    def end(self, error: BaseException | None = None) -> None:
        """See it end."""
        self._end_stage(error)
        outcome = "done" if error is None else type(error).__name__
        WORK_SECONDS.labels(self._work, outcome).observe(time.monotonic() - self._started_s)
        end(self._span, error)

    def _end_stage(self, error: BaseException | None) -> None:
        if self._stage is None or self._last is None:
            return
        last = self._last
        facts: Attributes = {
            "epipar.done": last.done,
            "epipar.total": last.total,
            "epipar.unit": last.unit,
        }
        self._stage.set_attributes(facts)
        end(self._stage, error)
        seconds = time.monotonic() - self._stage_started_s
        STAGE_SECONDS.labels(self._service, last.stage).observe(seconds)
        self._stage = self._last = None


@contextmanager
def watching(module: str) -> Iterator[WorkWatch]:
    """Watch a work from its begin to its end; may stand in a generator."""
    watch = WorkWatch(module)
    error: BaseException | None = None
    try:
        yield watch
    except BaseException as raised:
        error = raised
        raise
    finally:
        watch.end(error)
