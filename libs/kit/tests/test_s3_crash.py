"""The S3 service dies in the middle: nothing half-written is seen, and what was asked gets done."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading
import time
from collections.abc import Callable
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
BIG = os.urandom(1 << 20) * 24


@pytest.fixture
def options(s3_server: S3Server, tmp_path: Path) -> S3Options:
    return S3Options(
        endpoint=s3_server.endpoint,
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


def plan(**request: Any) -> OutputPlan:
    return OutputPlan(
        "out/it",
        "manifest.json",
        "a",
        "output_job",
        lambda folder: {"folder": str(folder), "content_hash": "a", **request},
        ENV,
    )


async def half_made(store: S3Store) -> None:
    """Break an output off after its second part."""
    async with aclosing(make_output(store, plan(stop_after=1, how="hang"))) as events:
        async for event in events:
            if getattr(event, "done", 0) == 2:
                return


@pytest.mark.slow  # the service takes twenty seconds to come back from a kill
async def test_a_service_killed_in_a_write_shows_nothing_of_it_and_what_was_asked_gets_done(
    s3_server: S3Server, options: S3Options, tmp_path: Path
) -> None:
    patient = S3Store("suite", "", options)
    hasty = S3Store("suite", "", replace(options, patience_s=0.2))
    await half_made(patient)
    errors: list[BaseException] = []
    hashes: list[str] = []

    def write_in_haste() -> None:
        try:
            hasty.write("half.bin", io.BytesIO(BIG))
        except EngineUnavailableError as error:
            errors.append(error)

    def write_with_patience() -> None:
        hashes.append(patient.write("whole.bin", io.BytesIO(BIG)).sha256)

    writers = [in_thread(write_in_haste), in_thread(write_with_patience)]
    await asyncio.to_thread(kill_once_it_has, s3_server, 4 << 20)
    await asyncio.to_thread(writers[0].join)
    assert [getattr(error, "reason", "") for error in errors] == ["STORE_UNAVAILABLE"]
    await asyncio.to_thread(s3_server.start)
    await asyncio.to_thread(writers[1].join)
    assert patient.stat("whole.bin").sha256 == hashes[0]
    assert patient.local_path("whole.bin").read_bytes() == BIG
    assert list(patient.list()) == ["whole.bin"]
    assert patient.write("half.bin", BIG).sha256 == hashes[0]  # the repeat completes
    # On another machine, the output goes on from the parts that had been carried over.
    other = S3Store("suite", "", replace(options, scratch_dir=tmp_path / "elsewhere"))
    last = [event async for event in make_output(other, plan())][-1]
    assert isinstance(last, FinishedEvent)
    assert last.result == {"found": ["part_0", "part_1"]}
    again = [event async for event in make_output(patient, plan())][-1]
    assert isinstance(again, FinishedEvent)
    assert again.cached
    parts = [f"out/it/{name}" for name in ("manifest.json", "part_0", "part_1", "part_2")]
    assert list(patient.list("out")) == parts
    hidden = [found.key for found in patient.bucket.objects("") if "epipar" in found.key]
    assert hidden == []
