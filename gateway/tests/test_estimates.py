"""Remaining time: honest where nothing is known, and better with every run."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway.compute import StepResult
from epipar_gateway.database import Database
from epipar_gateway.estimates import StageTiming, StageTimings, expectation_from
from epipar_gateway.plans import reconstruction_plan
from epipar_gateway.tables import stage_timings
from epipar_kit.events import ProgressEvent

from .suite import Suite

PLAN = reconstruction_plan(pb.StartReconstructionRequest(), "a", "uploads/u/clip.mp4")


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def run(timings: StageTimings, clock: Clock, index: int, frames: int, pace_s: float) -> None:
    """Run a step of two stages, one by frames and one of twice the frames' time."""
    step = await timings.start(PLAN, index)
    step.remaining_s(ProgressEvent("match", 0, frames, "frames"))
    clock.now_s += frames * pace_s
    step.remaining_s(ProgressEvent("sweep", 0, frames, "frames"))
    clock.now_s += 2 * frames * pace_s
    await step.finished(StepResult({}, frames=frames))


async def test_an_estimate_scales_with_the_frames_and_knows_the_later_steps(tmp_path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a.sqlite")
    database.create()
    clock = Clock()
    timings = StageTimings(database, clock)
    first = await timings.start(PLAN, 0)
    assert first.remaining_s(ProgressEvent("match", 1, 10, "frames")) == (0.0, 0.0)
    await run(timings, clock, 0, frames=10, pace_s=1.0)
    second = await timings.start(PLAN, 0)
    begun = ProgressEvent("match", 0, 20, "frames")
    assert second.remaining_s(begun) == (60.0, 0.0)  # no export has been seen yet
    await run(timings, clock, 1, frames=10, pace_s=0.1)
    third = await timings.start(PLAN, 0)
    assert third.remaining_s(begun) == (60.0, 66.0)
    clock.now_s += 10
    half = third.remaining_s(ProgressEvent("match", 10, 20, "frames"))
    assert half == (50.0, 56.0)
    clock.now_s += 10  # the pace halves, and the estimate follows it
    slow = third.remaining_s(ProgressEvent("match", 10, 20, "frames"))
    assert slow == (55.0, 61.0)
    end = third.remaining_s(ProgressEvent("sweep", 20, 20, "frames"))
    assert end == (0.0, 6.0)  # the step is done, the export is not
    database.close()


async def test_what_was_only_found_again_teaches_nothing(tmp_path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a.sqlite")
    database.create()
    timings = StageTimings(database)
    step = await timings.start(PLAN, 0)
    step.remaining_s(ProgressEvent("match", 0, 1, "frames"))
    await step.finished(StepResult({}, cached=True))
    again = await timings.start(PLAN, 0)
    assert again.remaining_s(ProgressEvent("match", 0, 1, "frames")) == (0.0, 0.0)
    database.close()


async def test_a_job_tells_its_remaining_time_once_others_have_run(suite: Suite) -> None:
    first = await suite.events(await suite.start())
    assert {event.progress.remaining_s for event in first} == {0.0}
    # What the first run took is next to nothing; let it have been a hundred seconds a stage.
    make_slow = sa.update(stage_timings).values(seconds=100.0)
    steps = sa.select(sa.func.count(sa.distinct(stage_timings.c.step)))
    database = suite.gateway.database
    while await database.read(lambda c: c.execute(steps).scalar_one()) < 2:  # noqa: ASYNC110 - the database tells nobody
        await asyncio.sleep(0.01)
    await database.write(lambda c: c.execute(make_slow))
    second = await suite.events(await suite.start())
    told = [event.progress for event in second if event.WhichOneof("event") == "progress"]
    assert told[0].remaining_s > 0


@given(
    pace_s=st.floats(0.01, 100),
    frames=st.lists(st.integers(1, 1000), min_size=1, max_size=30),
    wanted=st.integers(1, 1000),
)
def test_runs_of_one_pace_are_learned_exactly(
    pace_s: float, frames: list[int], wanted: int
) -> None:
    timings = [
        StageTiming(number, 0, "sweep", count, count * pace_s)
        for number, count in enumerate(frames)
    ]
    expected = expectation_from(timings, wanted).total_s
    assert abs(expected - wanted * pace_s) <= 1e-6 * expected
