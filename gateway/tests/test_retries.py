"""What is tried again, what is waited out, and what ends a job at once."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epipar.common.v1 import error_reason_pb2 as reasons
from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway.retry import Patience, RetryPolicy
from epipar_kit.errors import (
    CallEndedError,
    CorruptArtifactError,
    EngineUnavailableError,
    EpiparError,
    InternalError,
    InvalidInputError,
    LimitExceededError,
    NotReadyError,
    StorageFullError,
)

from .fake_compute import FakeCompute, failing, reporting
from .suite import Suite, running_suite

GONE = EngineUnavailableError("ENGINE_UNAVAILABLE", "restarting", retry_after_s=0.01)
FINAL = [
    InvalidInputError("BAD_OPTION", "bits", "bits is 40"),
    NotReadyError("SCENE_INCOMPLETE", "not finished"),
    StorageFullError("no room"),
    LimitExceededError("OUT_OF_MEMORY", "too big"),
    CorruptArtifactError("CORRUPT_ARTIFACT", "broken"),
    InternalError(),
    EngineUnavailableError("ENGINE_UNAVAILABLE", "no GPU", retry_after_s=None),
]


async def test_a_service_that_is_unavailable_is_asked_again_and_each_call_is_an_attempt(
    suite: Suite,
) -> None:
    suite.fake.script["Predict"].extend([failing(GONE, reports=1), failing(GONE)])
    events = await suite.events(await suite.start())
    job = events[-1].job
    assert job.state == pb.Job.STATE_SUCCEEDED
    attempts = job.steps[0].attempts
    assert [attempt.number for attempt in attempts] == [1, 2, 3]
    assert [attempt.failure.message for attempt in attempts] == ["restarting", "restarting", ""]
    assert all(attempt.HasField("end_time") for attempt in attempts)
    assert suite.fake.names() == ["Predict", "Predict", "Predict", "Export"]


async def test_a_service_that_is_not_there_is_waited_for(suite: Suite) -> None:
    await suite.fake.stop()
    job = await suite.start()
    async for event in suite.jobs.WatchJob(pb.WatchJobRequest(name=job.name)):
        if event.job.steps and len(event.job.steps[0].attempts) == 2:
            break
    await suite.fake.start()
    ended = await suite.ended(job)
    assert ended.state == pb.Job.STATE_SUCCEEDED
    failure = ended.steps[0].attempts[0].failure
    assert failure.reason == reasons.ERROR_REASON_ENGINE_UNAVAILABLE
    assert failure.message == "the depth service does not answer"


async def test_a_service_that_dies_in_the_middle_is_asked_again(suite: Suite) -> None:
    async def hang(fake: FakeCompute, request: Any) -> Any:
        yield reporting(request, 1, 2)
        await fake.cancelled.wait()

    suite.fake.script["Predict"].append(hang)
    job = await suite.start()
    await suite.until(job, "progress")
    await suite.fake.stop()
    await suite.fake.start()
    events = await suite.events(job)
    assert events[-1].job.state == pb.Job.STATE_SUCCEEDED
    attempts = events[-1].job.steps[0].attempts
    assert len(attempts) >= 2
    assert attempts[0].failure.message == (
        "the depth service stopped answering in the middle of the call"
    )
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_a_call_that_the_service_cancels_was_cancelled_by_nobody(suite: Suite) -> None:
    suite.fake.script["Predict"].append(failing(CallEndedError("CANCELLED", ""), reports=1))
    job = await suite.ended(await suite.start())
    assert job.state == pb.Job.STATE_SUCCEEDED
    assert [attempt.failure.reason for attempt in job.steps[0].attempts] == [
        reasons.ERROR_REASON_ENGINE_UNAVAILABLE,
        reasons.ERROR_REASON_UNSPECIFIED,
    ]


@pytest.mark.parametrize("error", FINAL, ids=lambda error: error.reason)
async def test_nothing_else_is_tried_again(suite: Suite, error: EpiparError) -> None:
    suite.fake.script["Predict"].append(failing(error))
    job = await suite.ended(await suite.start())
    assert job.state == pb.Job.STATE_FAILED
    assert reasons.ErrorReason.Name(job.failure.reason) == f"ERROR_REASON_{error.reason}"
    assert job.failure.message == error.message
    assert suite.fake.names() == ["Predict"]


async def test_attempts_are_bounded(store: Any, fake: FakeCompute) -> None:
    fake.script["Predict"].extend([failing(GONE)] * 10)
    async with running_suite(store, fake, retry_max_attempts=3) as suite:
        job = await suite.ended(await suite.start())
    assert (job.state, job.failure.message) == (pb.Job.STATE_FAILED, "restarting")
    assert len(job.steps[0].attempts) == 3


@pytest.mark.parametrize(
    "error",
    [
        NotReadyError("OUTPUT_BUSY", "the old call is dying"),
        LimitExceededError("TOO_MANY_REQUESTS", "full", retry_after_s=0.01),
    ],
    ids=lambda error: error.reason,
)
async def test_a_busy_output_or_service_is_waited_out_within_one_attempt(
    suite: Suite, error: EpiparError
) -> None:
    suite.fake.script["Predict"].extend([failing(error), failing(error)])
    job = await suite.ended(await suite.start())
    assert job.state == pb.Job.STATE_SUCCEEDED
    assert len(job.steps[0].attempts) == 1
    assert suite.fake.names().count("Predict") == 3


async def test_a_wait_has_an_end(store: Any, fake: FakeCompute) -> None:
    busy = failing(NotReadyError("OUTPUT_BUSY", "somebody else writes it"))
    fake.script["Predict"].extend([busy] * 10)
    async with running_suite(store, fake, busy_wait_s=0) as suite:
        job = await suite.ended(await suite.start())
    assert reasons.ErrorReason.Name(job.failure.reason) == "ERROR_REASON_OUTPUT_BUSY"


async def test_a_call_that_takes_too_long_ends_by_its_deadline(
    store: Any, fake: FakeCompute
) -> None:
    async def hang(fake: FakeCompute, request: Any) -> Any:
        yield reporting(request, 1, 2)
        await fake.cancelled.wait()

    fake.script["Predict"].append(hang)
    async with running_suite(store, fake, depth_deadline_s=1) as suite:
        job = await suite.ended(await suite.start())
    assert job.state == pb.Job.STATE_FAILED
    assert job.failure.reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED


@given(
    failures=st.integers(1, 30),
    asked_s=st.none() | st.floats(0.001, 500),
    seed=st.integers(0, 1000),
)
def test_pauses_grow_are_bounded_and_honour_what_the_service_asked(
    failures: int, asked_s: float | None, seed: int
) -> None:
    policy = RetryPolicy(max_attempts=100, first_s=0.5, max_pause_s=60)
    patience = Patience(policy, random.Random(seed))
    error = EngineUnavailableError("ENGINE_UNAVAILABLE", "", retry_after_s=asked_s)
    if asked_s is None:
        assert patience.pause_before_next_attempt_s(error, 0.0) is None
        return
    pauses = [patience.pause_before_next_attempt_s(error, 0.0) for _ in range(failures)]
    for number, pause_s in enumerate(pauses):
        assert pause_s is not None
        wanted_s = min(max(0.5 * 2**number, asked_s), 60)
        assert wanted_s <= pause_s <= 1.25 * wanted_s


def test_patience_ends_by_the_clock_too() -> None:
    patience = Patience(RetryPolicy(total_s=100), random.Random(0))
    assert patience.pause_before_next_attempt_s(GONE, 1000.0) is not None
    assert patience.pause_before_next_attempt_s(GONE, 1099.0) is not None
    assert patience.pause_before_next_attempt_s(GONE, 1100.0) is None
