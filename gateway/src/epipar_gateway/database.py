"""The gateway's database: SQLite on one machine, PostgreSQL on many, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError

from epipar_gateway import tables
from epipar_kit.settings import SettingsError

BUSY_TIMEOUT_S = 30
POOL_SIZE = 8
SQLITE_READERS = 4

_Result = TypeVar("_Result")


def checked_database_url(url: str) -> sa.URL:
    """Return the URL with its driver.

    Raises:
        ValueError: it is no URL of SQLite or PostgreSQL; the text names what is wanted.
    """
    wanted = "it must look like sqlite:///folder/gateway.sqlite or postgresql://user@host/name"
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ValueError(wanted) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return parsed.set(drivername="sqlite")
    if backend == "postgresql" and parsed.database:
        return parsed.set(drivername="postgresql+psycopg")
    raise ValueError(wanted)


def dbos_url(url: str) -> str:
    """Return where DBOS keeps its tables: a file beside SQLite's, or PostgreSQL's own database."""
    parsed = checked_database_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database))
        parsed = parsed.set(database=str(path.with_name(f"{path.stem}-dbos{path.suffix}")))
    else:
        parsed = parsed.set(drivername="postgresql")
    return parsed.render_as_string(hide_password=False)


class Database:
    """Transactions in threads of its own, so that the event loop never waits for a disk.

    SQLite takes one writer at a time: writes share one thread, and readers do not wait for it
    (WAL). PostgreSQL gets a pool.
    """

    def __init__(self, url: str) -> None:
        self.url = checked_database_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            Path(str(self.url.database)).parent.mkdir(parents=True, exist_ok=True)
            self.engine = sa.create_engine(self.url, connect_args={"timeout": BUSY_TIMEOUT_S})
            sa.event.listen(self.engine, "connect", _prepare_sqlite)
            sa.event.listen(self.engine, "begin", _begin_immediate)
            self._writers = ThreadPoolExecutor(1, "db-write")
            self._readers = ThreadPoolExecutor(SQLITE_READERS, "db-read")
        else:
            self.engine = sa.create_engine(
                self.url, pool_size=POOL_SIZE, max_overflow=0, pool_pre_ping=True
            )
            self._writers = self._readers = ThreadPoolExecutor(POOL_SIZE, "db")

    def create(self) -> None:
        """Make the tables where they are missing, and refuse those of a newer program.

        Raises:
            SettingsError: the database cannot be reached, or belongs to a newer version.
        """
        shown = self.url.render_as_string(hide_password=True)
        try:
            with self.engine.begin() as connection:
                if not self.is_sqlite:  # two replicas that start at once must not both create
                    connection.execute(sa.text("SELECT pg_advisory_xact_lock(3141592653)"))
                tables.metadata.create_all(connection)
                version = connection.execute(
                    sa.select(sa.func.max(tables.schema_version.c.version))
                ).scalar()
                if version is None:
                    version = tables.SCHEMA_VERSION
                    connection.execute(sa.insert(tables.schema_version).values(version=version))
        except DatabaseError as error:
            raise SettingsError(f"cannot open the database {shown}: {error.orig}") from None
        if version > tables.SCHEMA_VERSION:
            raise SettingsError(
                f"the database {shown} has schema version {version}; this version of Epipar knows "
                f"{tables.SCHEMA_VERSION}: run the newer one, or name another database"
            )

    async def write(self, work: Callable[[sa.Connection], _Result]) -> _Result:
        """Run one transaction that may write; all of it or nothing is kept."""
        return await self._run(self._writers, self.write_now, work)

    async def read(self, work: Callable[[sa.Connection], _Result]) -> _Result:
        """Run one transaction that reads only."""
        return await self._run(self._readers, self.read_now, work)

    def write_now(self, work: Callable[[sa.Connection], _Result]) -> _Result:
        """Run a writing transaction in this thread."""
        with self.engine.begin() as connection:
            return work(connection)

    def read_now(self, work: Callable[[sa.Connection], _Result]) -> _Result:
        """Run a reading transaction in this thread."""
        with self.engine.connect().execution_options(epipar_read=True) as connection:
            return work(connection)

    def close(self) -> None:
        """Finish what runs, then let go of all connections."""
        self._writers.shutdown()
        self._readers.shutdown()
        self.engine.dispose()

    async def _run(
        self,
        threads: ThreadPoolExecutor,
        run: Callable[[Callable[[sa.Connection], _Result]], _Result],
        work: Callable[[sa.Connection], _Result],
    ) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(threads, run, work)


def for_update(statement: sa.Select[Any]) -> sa.Select[Any]:
    """Lock the selected rows to the end of the transaction (PostgreSQL; SQLite locks all)."""
    return statement.with_for_update()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later can fail as busy in the middle; one that
    # says at once that it writes waits its turn.
    reads = connection.get_execution_options().get("epipar_read", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
