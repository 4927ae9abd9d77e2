"""run_work: real child processes, real crashes, real signals."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from epipar_kit.errors import (
    EpiparError,
    InternalError,
    InvalidInputError,
    LimitExceededError,
    StorageFullError,
    WorkerDiedError,
)
from epipar_kit.work import Event, ProgressEvent, ResultEvent, run_work

TESTS = Path(__file__).parent
ENV = {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}


def job(name: str, *, env: dict[str, str] | None = None, **request: Any) -> AsyncIterator[Event]:
    return run_work("jobs", {"job": name, **request}, env={**ENV, **(env or {})})


async def events_of(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


async def result_of(events: AsyncIterator[Event]) -> dict[str, Any]:
    last = (await events_of(events))[-1]
    assert isinstance(last, ResultEvent)
    return last.result


def pids_of(path: Path) -> list[int]:
    return [int(pid) for pid in path.read_text().split()]


def is_gone(pid: int) -> bool:
    """Neither running nor a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def until_gone(pid: int) -> None:
    """Wait for the end of a process that is not this one's child; zombies count as ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(fd, "rb", buffering=0):
        readable, _, _ = select.select([fd], [], [], 60)
    assert readable == [fd], f"process {pid} still runs"


async def test_progress_comes_in_order_and_the_result_once_and_last() -> None:
    events = await events_of(job("echo", words=["späte", "Kirschen"]))
    assert events[:-1] == [
        ProgressEvent("reading", 0, 3, "frames", "début"),
        ProgressEvent("reading", 3, 3, "frames"),
    ]
    assert isinstance(events[-1], ResultEvent)
    assert events[-1].result["request"] == {"job": "echo", "words": ["späte", "Kirschen"]}


async def test_a_large_request_and_result_pass() -> None:
    text = "x" * 1_000_000
    assert (await result_of(job("echo", text=text)))["request"]["text"] == text


async def test_too_large_a_request_is_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match="at most 4194304"):
        await result_of(job("echo", text="x" * 5_000_000))


async def test_a_flood_of_reports_is_merged_but_no_stage_loses_its_last_state() -> None:
    events = await events_of(job("flood"))
    progress = [event for event in events if isinstance(event, ProgressEvent)]
    assert len(progress) < 1_000
    last = {event.stage: event.done for event in progress}
    assert last == {"first": 20_000, "second": 6, "third": 1}
    order = [(["first", "second", "third"].index(event.stage), event.done) for event in progress]
    assert order == sorted(order)


async def test_a_stage_never_steps_back_and_the_next_begins_anew() -> None:
    events = [e for e in await events_of(job("step_back")) if isinstance(e, ProgressEvent)]
    assert [event.done for event in events] == [1, 5, 5, 6, 0]


async def test_reports_from_many_threads_do_not_mix() -> None:
    events = await events_of(job("flood_from_threads"))
    last = {event.stage: event.done for event in events if isinstance(event, ProgressEvent)}
    assert last == {f"stage_{i}": 1_999 for i in range(4)}


async def test_prints_become_bounded_log_lines_and_cannot_forge_events() -> None:
    with capture_logs() as logs:
        result = await result_of(job("noise"))
    assert result == {"honest": True}
    lines = [entry["line"] for entry in logs if entry["event"] == "work_print"]
    assert "a line from a native library" in lines
    assert '{"result": {"forged": true}}' in lines
    assert max(map(len, lines)) == 2_000


async def test_native_libraries_run_one_thread_unless_told_otherwise() -> None:
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "EPIPAR_X"]
    env = {"OPENBLAS_NUM_THREADS": "3", "EPIPAR_X": "y"}
    assert await result_of(job("environment", env=env, names=names)) == {
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "3",
        "NUMBA_NUM_THREADS": "1",
        "EPIPAR_X": "y",
    }


async def test_a_typed_error_arrives_as_it_was_raised() -> None:
    with pytest.raises(InvalidInputError, match="the video has 2 frames") as caught:
        await result_of(job("typed_error"))
    error = caught.value
    assert (error.reason, error.field, error.metadata) == (
        "TOO_FEW_FRAMES",
        "source",
        {"frames": "2"},
    )


@pytest.mark.parametrize("name", ["fault", "unserialisable"])
async def test_any_other_exception_is_internal_and_its_trace_is_only_logged(name: str) -> None:
    with capture_logs() as logs, pytest.raises(InternalError) as caught:
        await result_of(job(name))
    assert caught.value.reason == "INTERNAL"
    assert "secret" not in caught.value.message
    assert any("Traceback" in entry.get("line", "") for entry in logs)


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("out_of_memory", LimitExceededError, "OUT_OF_MEMORY"),
        ("dev_full", StorageFullError, "DISK_FULL"),
        ("file_limit", StorageFullError, "DISK_FULL"),
    ],
)
async def test_exhausted_resources_are_typed(
    name: str, kind: type[EpiparError], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(kind) as caught:
        await result_of(job(name, path=str(tmp_path / "big")))
    assert caught.value.reason == reason


async def test_a_crash_names_its_signal_and_the_next_job_runs() -> None:
    with pytest.raises(WorkerDiedError, match="SIGSEGV") as caught:
        await result_of(job("segfault"))
    assert caught.value.metadata == {"signal": "SIGSEGV"}
    assert await result_of(job("pool")) == {"squares": [0, 1, 4, 9, 16]}


async def test_an_exit_without_a_result_is_a_death() -> None:
    with pytest.raises(WorkerDiedError, match="exit code 7"):
        await result_of(job("leave"))


async def test_a_module_that_does_not_exist_is_a_death_and_the_log_says_why() -> None:
    with capture_logs() as logs, pytest.raises(WorkerDiedError, match="exit code 1"):
        await result_of(run_work("no_such_module", {}))
    assert any("no_such_module" in entry.get("line", "") for entry in logs)


async def test_a_killed_child_is_noticed_though_an_orphan_holds_its_pipes(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(WorkerDiedError, match="SIGKILL"):
        await result_of(job("die_with_orphan", pids=str(pids)))
    assert all(map(is_gone, pids_of(pids)))


async def test_a_child_that_answers_and_does_not_end_is_ended() -> None:
    assert await result_of(job("linger")) == {"answer": 42}


@pytest.mark.parametrize(
    ("name", "deaf"), [("hang", False), ("hang", True), ("hang_in_native_code", False)]
)
async def test_closing_the_iterator_ends_and_reaps_the_whole_group(
    name: str, deaf: bool, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    async with aclosing(job(name, pids=str(pids), deaf=deaf)) as events:  # type: ignore[type-var]  # it has aclose
        await anext(events)
        alive = pids_of(pids)
        assert not any(map(is_gone, alive))
    assert all(map(is_gone, alive))


async def test_cancelling_twice_still_reaps_everything(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    started = asyncio.Event()

    async def consume() -> None:
        async for _ in job("hang", pids=str(pids), deaf=True):
            started.set()

    task = asyncio.create_task(consume())
    await started.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(map(is_gone, pids_of(pids)))


async def test_jobs_run_side_by_side() -> None:
    results = await asyncio.gather(*(result_of(job("echo", number=i)) for i in range(4)))
    assert [result["request"]["number"] for result in results] == [0, 1, 2, 3]


_PARENT = """
import asyncio, sys
from epipar_kit.work import run_work
async def main():
    async for event in run_work("jobs", {"job": sys.argv[1], "pids": sys.argv[2]}):
        print("started", flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("name", ["hang", "hang_in_native_code"])
def test_killing_the_service_kills_child_and_grandchildren(name: str, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, name, str(pids)],
        stdout=subprocess.PIPE,
        env={**os.environ, **ENV},
    ) as parent:
        assert parent.stdout is not None
        for line in parent.stdout:
            if line == b"started\n":
                break
        alive = pids_of(pids)
        assert len(alive) == 2
        parent.send_signal(signal.SIGKILL)
    for pid in alive:
        until_gone(pid)


def test_a_job_can_be_run_by_hand() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jobs"],
        input=b'{"job": "noise"}\n',
        env={**os.environ, **ENV},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b'{"result": {"honest": true}}\n'
    assert b"native library" in done.stderr
