"""How long a step and its job will still take, learned from earlier runs.

Every finished call leaves the seconds of each of its stages, with the number of frames. A later
call of the same step and engine expects each stage to take the middle one of those times, scaled
to its own number of frames; of the stage that runs, its own pace counts more the farther it is.
Where nothing is known the answer is 0, which the contract reads as "not known".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import sqlalchemy as sa

from epipar_gateway.compute import StepResult
from epipar_gateway.database import Database
from epipar_gateway.ids import now_us
from epipar_gateway.plans import JobPlan, StepPlan
from epipar_gateway.tables import stage_timings
from epipar_kit.events import ProgressEvent

RUNS = 20
"""Earlier runs that an estimate looks at, the newest."""

FRAME_UNITS = frozenset({"frames", "views"})
_ROWS = 400

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class StageTiming:
    """How long one stage of one finished call took.

    Attributes:
        run: which call it belongs to; larger is newer.
        position: of the stage among the call's.
        stage: its name.
        frames: of the call, 0 where that was not known.
        seconds: it took.
    """

    run: int
    position: int
    stage: str
    frames: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """Seconds of each stage, in order; empty where nothing is known."""

    seconds: Mapping[str, float]

    @property
    def total_s(self) -> float:
        """Seconds of all stages."""
        return sum(self.seconds.values())

    def after(self, stage: str) -> float:
        """Return the seconds of the stages behind one."""
        names = list(self.seconds)
        return sum(self.seconds[name] for name in names[names.index(stage) + 1 :])


def expectation_from(timings: Sequence[StageTiming], frames: int) -> Expectation:
    """Return what a call of so many frames (0: not known) will take, stage by stage."""
    runs = sorted({timing.run for timing in timings}, reverse=True)[:RUNS]
    seconds: dict[str, list[float]] = {}
    places: dict[str, list[int]] = {}
    for timing in timings:
        if timing.run not in runs:
            continue
        scale = frames / timing.frames if frames and timing.frames else 1.0
        seconds.setdefault(timing.stage, []).append(timing.seconds * scale)
        places.setdefault(timing.stage, []).append(timing.position)
    order = sorted(places, key=lambda stage: (median(places[stage]), stage))
    # A stage that most runs did not have counts by its share of them.
    return Expectation(
        {name: median(seconds[name]) * len(seconds[name]) / len(runs) for name in order}
    )


class StageTimings:
    """Keeps and reads the durations in the database."""

    def __init__(self, database: Database, clock: Clock = time.monotonic) -> None:
        self._database = database
        self._clock = clock

    async def start(self, plan: JobPlan, index: int) -> RunningStep:
        """Begin to estimate a step; later steps of its plan count for the job."""
        timings = [await self._timings(step) for step in plan.steps[index:]]
        return RunningStep(self._database, plan.steps[index], timings, self._clock)

    async def _timings(self, step: StepPlan) -> list[StageTiming]:
        columns = stage_timings.c
        statement = (
            sa.select(columns.run, columns.position, columns.stage, columns.frames, columns.seconds)
            .where(columns.step == step.name, columns.engine == step.engine)
            .order_by(columns.id.desc())
            .limit(_ROWS)
        )
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return [StageTiming(*row) for row in rows]


class RunningStep:
    """Watches the stages of one call."""

    def __init__(
        self,
        database: Database,
        step: StepPlan,
        timings: Sequence[Sequence[StageTiming]],
        clock: Clock,
    ) -> None:
        self._database = database
        self._step = step
        self._timings = timings
        self._clock = clock
        self._stages: dict[str, float] = {}  # name to when it began
        self._frames = 0
        self._expected: list[Expectation] = []
        self._expect()

    def remaining_s(self, event: ProgressEvent) -> tuple[float, float]:
        """Return the seconds left of the step and of the job; 0 where that is not known."""
        now_s = self._clock()
        self._stages.setdefault(event.stage, now_s)
        if event.unit in FRAME_UNITS and event.total > self._frames:
            self._frames = event.total
            self._expect()
        step_s = self._step_s(event, now_s)
        if step_s is None:
            return 0.0, 0.0
        later = self._expected[1:]
        job_s = step_s + sum(expected.total_s for expected in later)
        return step_s, job_s if all(expected.seconds for expected in later) else 0.0

    async def finished(self, result: StepResult) -> None:
        """Keep the stages' durations, unless the call only found what was there before."""
        if result.cached or not self._stages:
            return
        ends = [*list(self._stages.values())[1:], self._clock()]
        time_us = now_us()
        rows = [
            {
                "step": self._step.name,
                "engine": self._step.engine,
                "run": time_us,
                "position": position,
                "stage": stage,
                "frames": result.frames or self._frames,
                "seconds": end_s - began_s,
            }
            for position, ((stage, began_s), end_s) in enumerate(
                zip(self._stages.items(), ends, strict=True)
            )
        ]
        await self._database.write(lambda c: c.execute(sa.insert(stage_timings), rows))

    def _expect(self) -> None:
        self._expected = [expectation_from(timings, self._frames) for timings in self._timings]

    def _step_s(self, event: ProgressEvent, now_s: float) -> float | None:
        expected = self._expected[0]
        if event.stage not in expected.seconds:
            return None
        share = event.done / event.total if event.total else 0.0
        spent_s = now_s - self._stages[event.stage]
        planned_s = expected.seconds[event.stage] * (1 - share)
        if not event.total:
            planned_s = max(planned_s - spent_s, 0.0)
        paced_s = spent_s * (1 - share) / share if share else planned_s
        stage_s = share * paced_s + (1 - share) * planned_s
        return stage_s + expected.after(event.stage)
