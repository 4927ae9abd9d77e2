"""The database: SQLite by default, PostgreSQL by URL, and no quiet damage by another version."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from epipar.scene.v1 import job_service_pb2 as pb
from epipar_gateway import tables
from epipar_gateway.database import Database, checked_database_url, dbos_url
from epipar_kit.settings import SettingsError

from .fake_compute import FakeCompute, failing, working
from .postgres import PostgresServer
from .suite import all_of, put_upload, running_suite
from .test_recovery import Gateway, assert_whole, hang, is_progress
from .test_retries import GONE


@pytest.mark.parametrize(
    ("url", "driver", "of_dbos"),
    [
        ("sqlite:///data/g.sqlite", "sqlite", "sqlite:///data/g-dbos.sqlite"),
        ("sqlite:////var/g.db", "sqlite", "sqlite:////var/g-dbos.db"),
        (
            "postgresql://u:p%40ss@db:5432/epipar",
            "postgresql+psycopg",
            "postgresql://u:p%40ss@db:5432/epipar",
        ),
    ],
)
def test_urls_are_read(url: str, driver: str, of_dbos: str) -> None:
    assert checked_database_url(url).drivername == driver
    assert dbos_url(url) == of_dbos


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///:memory:", "mysql://a/b", "postgresql://a", "/a/b"]
)
def test_other_urls_are_refused_with_what_is_wanted(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///"):
        checked_database_url(url)


def test_the_schema_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a/gateway.sqlite"
    database = Database(url)
    database.create()
    database.create()  # again is no harm
    database.write_now(lambda c: c.execute(sa.update(tables.schema_version).values(version=99)))
    with pytest.raises(SettingsError, match="99"):
        database.create()
    database.close()


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 20)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(SettingsError, match=r"gateway\.sqlite"):
        database.create()
    database.close()


async def test_writers_take_turns_and_readers_do_not_wait(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/gateway.sqlite")
    database.create()
    held, reading = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(connection: sa.Connection) -> None:
        connection.execute(sa.insert(tables.executors).values(id="a", beat_us=1))
        loop.call_soon_threadsafe(held.set)
        asyncio.run_coroutine_threadsafe(reading.wait(), loop).result()

    writing = asyncio.create_task(database.write(hold))
    await held.wait()
    count = sa.select(sa.func.count()).select_from(tables.executors)
    assert await database.read(lambda c: c.execute(count).scalar()) == 0
    reading.set()
    await writing
    assert await database.read(lambda c: c.execute(count).scalar()) == 1
    database.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    return postgres.new_database()


async def test_the_same_code_runs_on_postgresql(
    postgres_url: str, store: Path, fake: FakeCompute
) -> None:
    fake.script["Predict"].append(failing(GONE, reports=1))
    async with running_suite(store, fake, database_url=postgres_url) as suite:
        upload = suite.upload()
        jobs = await all_of(*(suite.start(upload=upload, request_id="same") for _ in range(10)))
        assert len({job.name for job in jobs}) == 1
        events = await suite.events(jobs[0])
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert events[-1].job.state == pb.Job.STATE_SUCCEEDED
        assert len(events[-1].job.steps[0].attempts) == 2
        fake.script["Predict"].append(working(gate=asyncio.Event()))
        job = await suite.start()
        await suite.until(job, "progress")
        await suite.jobs.CancelJob(pb.CancelJobRequest(name=job.name))
        assert (await suite.ended(job)).state == pb.Job.STATE_CANCELLED
        listed = await suite.jobs.ListJobs(pb.ListJobsRequest(page_size=1))
        assert [listed.jobs[0].name, bool(listed.next_page_token)] == [job.name, True]
        await suite.gateway._retention.once()


async def test_a_killed_gateway_goes_on_on_postgresql(
    postgres_url: str, store: Path, fake: FakeCompute
) -> None:
    fake.script["Predict"].append(hang)
    addresses = {f"{name}_address": fake.address for name in ("depth", "export", "inpaint")}
    gateway = Gateway(store, **addresses, database_url=postgres_url)
    async with gateway.running():
        job = await gateway.begin(upload=put_upload(store))
        seen: list[pb.WatchJobResponse] = []
        await gateway.watch(job, seen, is_progress)
        await gateway.kill()
        await gateway.start()
        await gateway.watch(job, seen)
    assert_whole(seen)
    assert [len(step.attempts) for step in seen[-1].job.steps] == [2, 1]
