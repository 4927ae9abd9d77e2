"""The S3 service dies in the middle: nothing half-written is seen, and what was asked gets done."""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from epipar_kit.errors import EngineUnavailableError
from epipar_kit.output import FinishedEvent, OutputPlan, make_output
from epipar_kit.s3_store import S3Store
from epipar_kit.store import S3Options
from tests.s3_server import KEY, SECRET, S3Server

ENV = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
BIG = os.urandom(1 << 20) * 48


@pytest.fixture
def server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def options(server: S3Server, tmp_path: Path) -> S3Options:
    return S3Options(
        endpoint=server.endpoint,
        region="us-east-1",
        access_key_id=KEY,
        secret_access_key=SECRET,
        scratch_dir=tmp_path / "scratch",
        patience_s=120.0,
        lease_s=3.0,
        sync_s=0.05,
    )


def kill_once_it_has(server: S3Server, size_bytes: int) -> None:
    """Kill the server when so many bytes of a write have reached it."""
    before = stored_bytes(server)
    deadline_s = time.monotonic() + 60
    while stored_bytes(server) < before + size_bytes:
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
    server.kill()


def stored_bytes(server: S3Server) -> int:
    return sum(path.stat().st_size for path in server.data.glob("*.dat"))


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.slow
def test_a_server_killed_in_a_write_shows_nothing_of_it_and_a_retry_completes(
    server: S3Server, options: S3Options
) -> None:
    hasty = S3Store("suite", "", replace(options, patience_s=0.2))
    killer = in_thread(lambda: kill_once_it_has(server, 4 << 20))
    with pytest.raises(EngineUnavailableError, match="does not answer") as caught:
        hasty.write("big.bin", io.BytesIO(BIG))
    killer.join()
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert caught.value.retry_after_s is not None
    server.start()
    patient = S3Store("suite", "", options)
    assert not patient.exists("big.bin")
    assert list(patient.list()) == []
    # Now one write that lives through a kill by itself.
    answers: list[str] = []
    writer = in_thread(lambda: answers.append(patient.write("big.bin", io.BytesIO(BIG)).sha256))
    kill_once_it_has(server, 4 << 20)
    server.start()
    writer.join()
    assert patient.stat("big.bin").sha256 == answers[0]
    path = patient.local_path("big.bin")
    assert path.read_bytes() == BIG


@pytest.mark.slow
async def test_an_output_goes_on_from_its_parts_after_server_and_machine_are_gone(
    server: S3Server, options: S3Options, tmp_path: Path
) -> None:
    def plan(**request: Any) -> OutputPlan:
        return OutputPlan(
            "out/it",
            "manifest.json",
            "a",
            "output_job",
            lambda folder: {"folder": str(folder), "content_hash": "a", **request},
            ENV,
        )

    store = S3Store("suite", "", options)
    async with aclosing(make_output(store, plan(stop_after=1, how="hang"))) as events:
        async for event in events:
            if getattr(event, "done", 0) == 2:
                break
    server.kill()
    server.start()
    other = S3Store("suite", "", replace(options, scratch_dir=tmp_path / "elsewhere"))
    last = [event async for event in make_output(other, plan())][-1]
    assert isinstance(last, FinishedEvent)
    assert last.result == {"found": ["part_0", "part_1"]}
    again = [event async for event in make_output(store, plan())][-1]
    assert isinstance(again, FinishedEvent)
    assert again.cached
    assert list(store.list()) == [
        f"out/it/{name}" for name in ("manifest.json", "part_0", "part_1", "part_2")
    ]
