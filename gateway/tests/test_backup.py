"""A copy of database and store, taken under load and restored elsewhere, has every finished job.

As docs/operate/backup.md says it: the database first, the store after it.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import grpc
import pytest

from epipar.scene.v1 import job_service_pb2 as pb

from .fake_compute import Act, FakeCompute, finished, reporting
from .postgres import PostgresServer, binaries
from .suite import put_upload
from .test_recovery import Gateway, assert_whole, is_progress

pytestmark = pytest.mark.slow

FINISHED, WAITING = 3, 3


class Databases(Protocol):
    """Where a gateway keeps its jobs, and how that is copied while it works."""

    url: str

    def back_up(self) -> None:
        """Copy it as it is now."""

    def restore(self) -> str:
        """Make another one of the copy; return its URL."""


class SqliteFiles:
    """The two files of one machine, each copied by SQLite itself: a plain copy misses its WAL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = f"sqlite:///{folder}/live/gateway.sqlite"

    def back_up(self) -> None:
        (self._folder / "copy").mkdir()
        for name in ("gateway.sqlite", "gateway-dbos.sqlite"):
            with ExitStack() as parts:
                live, copy = (
                    sqlite3.connect(self._folder / where / name) for where in ("live", "copy")
                )
                parts.callback(live.close)
                parts.callback(copy.close)
                live.backup(copy)

    def restore(self) -> str:
        shutil.copytree(self._folder / "copy", self._folder / "restored")
        return f"sqlite:///{self._folder}/restored/gateway.sqlite"


@dataclass
class PostgresDatabases:
    """pg_dump while the gateway works, pg_restore into an empty database."""

    server: PostgresServer
    dump: Path
    url: str = ""

    def __post_init__(self) -> None:
        self.url = self.server.new_database()

    def back_up(self) -> None:
        self._call("pg_dump", self.url, "--format=custom", f"--file={self.dump}")

    def restore(self) -> str:
        url = self.server.new_database()
        name = urlsplit(url).path.removeprefix("/")
        role = urlsplit(url)
        self._call(
            *("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={name}"),
            *(f"--host={role.hostname}", f"--port={role.port}", f"--username={role.username}"),
            str(self.dump),
        )
        return url

    def _call(self, program: str, *arguments: str) -> None:
        folder = binaries()
        assert folder is not None
        subprocess.run([folder / program, *arguments], check=True, timeout=120)


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    if request.param == "sqlite":
        yield SqliteFiles(tmp_path)
        return
    with PostgresServer() as server:
        yield PostgresDatabases(server, tmp_path / "dump")


def busy(gate: asyncio.Event) -> Act:
    """Return an act that reports without end, and so writes to the database, until it may finish."""

    async def act(fake: FakeCompute, request: Any) -> AsyncIterator[Any]:
        done = 0
        while not gate.is_set():
            done += 1
            yield reporting(request, done, done + 1)
            await asyncio.sleep(0.02)
        yield finished(fake, request)

    return act


def gateway_of(store: Path, url: str, fake: FakeCompute) -> Gateway:
    addresses = {f"{name}_address": fake.address for name in ("depth", "export", "inpaint")}
    return Gateway(store, database_url=url, depth_concurrency="2", **addresses)


async def begun(gateway: Gateway, store: Path) -> pb.Job:
    return await gateway.begin(upload=put_upload(store))


async def found(gateway: Gateway, job: pb.Job) -> pb.Job:
    async with gateway.jobs() as stub:
        return (await stub.GetJob(pb.GetJobRequest(name=job.name))).job  # type: ignore[no-any-return]  # the stub is untyped here


def artifacts(job: pb.Job) -> list[str]:
    return [artifact.uri for artifact in job.artifacts]


async def test_what_was_finished_is_there_and_what_was_not_goes_on(
    databases: Databases, store: Path, fake: FakeCompute, tmp_path: Path
) -> None:
    in_between, later = asyncio.Event(), asyncio.Event()
    quick = asyncio.Event()
    quick.set()
    fake.script["Predict"].extend([busy(quick)] * FINISHED + [busy(in_between), busy(later)])
    async with gateway_of(store, databases.url, fake).running() as gateway:
        # One after the other: who of several that wait is taken first is not promised.
        jobs = [await begun(gateway, store) for _ in range(FINISHED)]
        for job in jobs:
            await gateway.watch(job, [])
        for _ in range(2):
            jobs.append(await begun(gateway, store))
            await gateway.watch(jobs[-1], [], is_progress)
        jobs += [await begun(gateway, store) for _ in range(WAITING)]
        await asyncio.to_thread(databases.back_up)  # while two jobs tell their progress
        in_between.set()
        # One of the two ends after the database's copy and before the store's.
        watches = [
            asyncio.create_task(gateway.watch(job, [])) for job in jobs[FINISHED : FINISHED + 2]
        ]
        _, others = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        await asyncio.wait(watches)
        copy = tmp_path / "restored-store"
        await asyncio.to_thread(shutil.copytree, store, copy)
        newer = await begun(gateway, store)
        ended = [await found(gateway, job) for job in jobs[:FINISHED]]
        await gateway.kill()  # the machine is lost
    later.set()

    async with FakeCompute(copy) as restored_fake:
        restored = gateway_of(copy, await asyncio.to_thread(databases.restore), restored_fake)
        async with restored.running():
            for job in ended:
                assert await found(restored, job) == job
                assert artifacts(job)
                assert all((copy / uri).is_file() for uri in artifacts(job))
            for job in jobs[FINISHED:]:
                seen: list[pb.WatchJobResponse] = []
                await asyncio.wait_for(restored.watch(job, seen), 120)
                assert_whole(seen)
                assert all((copy / uri).is_file() for uri in artifacts(seen[-1].job))
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await found(restored, newer)
            assert error.value.code() == grpc.StatusCode.NOT_FOUND
