"""WatchJob: nothing lost, nothing twice, for any number of watchers, from any event on."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway.watch import WatchHub

from .fake_compute import FakeCompute, reporting, working
from .suite import Suite, all_of
from .test_jobs import refusal


async def test_a_replay_from_any_sequence_is_the_rest_of_the_stream(suite: Suite) -> None:
    suite.fake.script["Predict"].append(working(steps=5))
    job = await suite.start()
    events = await suite.events(job)
    for after in range(len(events) + 1):
        assert await suite.events(job, after) == events[after:]


async def test_two_hundred_watchers_of_one_job_see_the_same(suite: Suite) -> None:
    gate = asyncio.Event()
    suite.fake.script["Predict"].append(working(steps=3, gate=gate))
    job = await suite.start()
    early = [asyncio.create_task(suite.events(job)) for _ in range(200)]
    await suite.until(job, "progress")
    gate.set()
    streams = await all_of(*early)
    late = await suite.events(job)
    assert all(stream == late for stream in streams)
    assert [event.sequence for event in late] == list(range(1, len(late) + 1))


async def test_a_watcher_that_comes_back_after_every_event_misses_nothing(suite: Suite) -> None:
    suite.fake.script["Predict"].append(working(steps=4))
    job = await suite.start()
    seen: list[pb.WatchJobResponse] = []
    while not seen or seen[-1].job.state != pb.Job.STATE_SUCCEEDED:
        after = seen[-1].sequence if seen else 0
        stream = suite.jobs.WatchJob(pb.WatchJobRequest(name=job.name, after_sequence=after))
        seen.append(await anext(aiter(stream)))
        stream.cancel()
    assert seen == await suite.events(job)


@pytest.mark.parametrize("after", [-1, 1000])
async def test_a_sequence_that_does_not_exist_is_refused_with_the_known_ones(
    suite: Suite, after: int
) -> None:
    job = await suite.start()
    await suite.ended(job)
    stream = suite.jobs.WatchJob(pb.WatchJobRequest(name=job.name, after_sequence=after))
    error = await refusal(anext(aiter(stream)))
    assert (error.reason, error.field) == ("BAD_REQUEST", "after_sequence")
    assert str(after) in error.message


@pytest.mark.parametrize(
    ("name", "reason"),
    [("jobs/aaaaaaaaaaaa", "NOT_FOUND"), ("jobs/42", "BAD_REQUEST"), ("scenes/a", "BAD_REQUEST")],
)
async def test_a_job_that_does_not_exist_is_refused(suite: Suite, name: str, reason: str) -> None:
    stream = suite.jobs.WatchJob(pb.WatchJobRequest(name=name))
    assert (await refusal(anext(aiter(stream)))).reason == reason
    assert (await refusal(suite.jobs.GetJob(pb.GetJobRequest(name=name)))).reason == reason


async def test_watching_an_ended_job_from_its_last_event_ends_at_once(suite: Suite) -> None:
    job = await suite.ended(await suite.start())
    assert await suite.events(job, after=job.last_sequence) == []


async def test_progress_is_stored_at_most_ten_times_a_second(suite: Suite) -> None:
    async def flood(fake: FakeCompute, request: Any) -> Any:
        for done in range(2000):
            yield reporting(request, done + 1, 2000)
        yield (await anext(aiter(working(steps=0)(fake, request))))

    suite.fake.script["Predict"].append(flood)
    events = await suite.events(await suite.start())
    told = [event for event in events if event.progress.step == "depth"]
    seconds = (told[-1].time.ToNanoseconds() - told[0].time.ToNanoseconds()) / 1e9
    assert told[-1].progress.progress.done == 2000
    assert len(told) <= 2 + 10 * seconds


async def test_a_drain_ends_watches_as_unavailable_with_a_time_to_come_back(suite: Suite) -> None:
    suite.fake.script["Predict"].append(working(gate=asyncio.Event()))
    job = await suite.start()
    watching = asyncio.create_task(suite.events(job))
    await suite.until(job, "progress")
    suite.gateway.hub.close()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await watching
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


class Table:
    """Stored events, written by "another replica"."""

    def __init__(self, page: int = 500) -> None:
        self.page = page
        self.stored: list[pb.WatchJobResponse] = []
        self.reads = 0
        self._read = asyncio.Condition()

    async def replayed_by(self, watchers: int) -> None:
        async with self._read:
            await self._read.wait_for(lambda: self.reads >= watchers)

    def add(self, state: pb.Job.State.ValueType) -> None:
        sequence = len(self.stored) + 1
        self.stored.append(pb.WatchJobResponse(sequence=sequence, job=pb.Job(state=state)))

    async def events(self, job_id: str, after_sequence: int) -> list[pb.WatchJobResponse]:
        self.reads += 1
        async with self._read:
            self._read.notify_all()
        return self.stored[after_sequence : after_sequence + self.page]

    async def last_sequences(self, job_ids: list[str]) -> dict[str, int]:
        return {job_id: len(self.stored) for job_id in job_ids}


async def test_events_of_another_replica_are_found_by_one_reader_for_all_watchers() -> None:
    table, hub = Table(), WatchHub(poll_s=0.01)
    table.add(pb.Job.STATE_QUEUED)

    async def watch() -> list[int]:
        return [event.sequence async for event in hub.watch(table, "a", 0)]

    watchers = [asyncio.create_task(watch()) for _ in range(50)]
    following = asyncio.create_task(hub.follow_others(table))
    await table.replayed_by(50)
    for state in (pb.Job.STATE_RUNNING, pb.Job.STATE_RUNNING, pb.Job.STATE_SUCCEEDED):
        table.add(state)
    assert await all_of(*watchers) == [[1, 2, 3, 4]] * 50
    # One wake-up by the poller, and at most one look at the table by each.
    assert table.reads <= 50 + 1 + 50
    following.cancel()


async def test_events_pushed_out_of_order_come_in_order() -> None:
    table, hub = Table(), WatchHub(poll_s=60)
    table.add(pb.Job.STATE_QUEUED)
    stream = hub.watch(table, "a", 0)
    assert (await anext(stream)).sequence == 1
    table.add(pb.Job.STATE_RUNNING)
    table.add(pb.Job.STATE_SUCCEEDED)
    waiting = asyncio.create_task(anext(stream))
    hub.publish("a", table.stored[2])
    hub.publish("a", table.stored[1])
    assert (await waiting).sequence == 2
    assert [event.sequence async for event in stream] == [3]


async def test_silence_is_filled_with_heartbeats_that_repeat_the_sequence() -> None:
    table, hub = Table(), WatchHub(poll_s=60, heartbeat_s=0.01)
    table.add(pb.Job.STATE_RUNNING)
    stream = hub.watch(table, "a", 0)
    told = [await anext(stream) for _ in range(3)]
    await stream.aclose()
    kinds = [(event.sequence, event.WhichOneof("event")) for event in told]
    assert kinds == [(1, "job"), (1, "heartbeat"), (1, "heartbeat")]


async def test_a_replay_of_many_pages_waits_for_nobody() -> None:
    table, hub = Table(page=3), WatchHub(poll_s=60, heartbeat_s=60)
    for _ in range(10):
        table.add(pb.Job.STATE_RUNNING)
    table.add(pb.Job.STATE_SUCCEEDED)
    async with asyncio.timeout(60):
        sequences = [event.sequence async for event in hub.watch(table, "a", 0)]
    assert sequences == list(range(1, 12))
    assert table.reads == 4


async def test_a_long_backlog_is_read_from_the_table_and_not_kept_in_memory() -> None:
    table, hub = Table(), WatchHub(poll_s=60)
    table.add(pb.Job.STATE_QUEUED)
    stream = hub.watch(table, "a", 0)
    assert (await anext(stream)).sequence == 1
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    for number in range(1000):
        last = number == 999
        table.add(pb.Job.STATE_SUCCEEDED if last else pb.Job.STATE_RUNNING)
        hub.publish("a", table.stored[-1])
    sequences = [(await waiting).sequence, *[event.sequence async for event in stream]]
    assert sequences == list(range(2, 1002))
