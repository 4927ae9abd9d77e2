"""Makes, finds, lists and deletes scenes; what the store says goes before what we remember."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import IntegrityError

from epipar.scene.v1 import scene_service_pb2 as pb
from epipar_gateway import scene_rows
from epipar_gateway.database import Database
from epipar_gateway.ids import is_scene_id, new_scene_id
from epipar_gateway.job_book import JobBook
from epipar_gateway.paging import Page
from epipar_gateway.plans import plan_from_bytes
from epipar_gateway.request_ids import RequestKey, answered_before, forget, remember
from epipar_gateway.scene_files import FoundScene, SceneFiles
from epipar_gateway.tables import jobs, scenes
from epipar_kit.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NotFoundError,
    NotReadyError,
)
from epipar_kit.store import ArtifactStore

log = structlog.get_logger(__name__)

BUSY_WAIT_S = 15.0
BUSY_PAUSE_S = 0.1
_HASH_OF_NOTHING = "deleted"


class SceneBook:
    """All that can be done with scenes."""

    def __init__(self, database: Database, store: ArtifactStore, files: SceneFiles) -> None:
        self._database = database
        self._store = store
        self.files = files

    async def create(self, scene_id: str, display_name: str, key: RequestKey) -> pb.Scene:
        """Make an empty scene.

        Raises:
            InvalidInputError: BAD_REQUEST with the field.
            AlreadyExistsError: OUTPUT_EXISTS or REQUEST_ID_REUSED.
        """
        if scene_id and not is_scene_id(scene_id):
            raise InvalidInputError(
                "BAD_REQUEST",
                "scene_id",
                f"scene_id is {scene_id[:80]!r}; it must be 1 to 63 characters of a-z, 0-9 and '-'",
            )
        chosen = scene_id or new_scene_id(display_name)
        name = scene_rows.display_name_from(display_name, chosen)
        is_taken = await asyncio.to_thread(self.files.exists, f"scenes/{chosen}")

        def work(connection: sa.Connection) -> str:
            before = answered_before(connection, key)
            if before is not None:
                before_id = before.removeprefix("scenes/")
                if scene_rows.scene_row(connection, before_id) is not None:
                    return before_id
                forget(connection, key, before)
            if is_taken or scene_rows.scene_row(connection, chosen) is not None:
                raise _taken(chosen)
            scene_rows.insert_scene(connection, chosen, name, pb.Scene.STATE_EMPTY)
            remember(connection, key, f"scenes/{chosen}")
            return chosen

        try:
            made = await self._database.write(work)
        except IntegrityError:  # the same name or request_id at the same moment
            made = await self._database.write(work)
        return await self.get(made)

    async def get(self, scene_id: str) -> pb.Scene:
        """Return a scene with its files.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        await self.refresh(scene_id)
        row = await self._database.read(lambda c: scene_rows.scene_row(c, scene_id))
        if row is None:
            raise scene_rows.no_scene(scene_id)
        scene = scene_rows.message_from_row(row)
        await asyncio.to_thread(self.files.describe, scene_id, scene)
        return scene

    async def refresh(self, scene_id: str) -> pb.Scene.State.ValueType:
        """Bring one row in step with the store, adopting a scene unknown so far; return its state.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        is_finished = await asyncio.to_thread(self.files.is_finished, scene_id)
        row = await self._database.read(lambda c: scene_rows.scene_row(c, scene_id))
        is_ready = row is not None and row.state == pb.Scene.STATE_READY
        if is_finished and not is_ready:
            found = FoundScene(scene_id, time.time_ns() // 1000)
            await self._adopt([found])
        elif is_ready and not is_finished:
            await self._database.write(lambda c: scene_rows.lose_files(c, scene_id))
        elif row is not None:
            return pb.Scene.State.ValueType(row.state)
        row = await self._database.read(lambda c: scene_rows.scene_row(c, scene_id))
        if row is None:
            raise scene_rows.no_scene(scene_id)
        return pb.Scene.State.ValueType(row.state)

    async def page_of(
        self, page: Page, states: Sequence[int], query: str
    ) -> tuple[list[pb.Scene], str]:
        """Return one page of scenes, newest first, and the token of the next."""
        if page.after is None:
            await self._refresh_all()
        conditions: list[sa.ColumnElement[bool]] = []
        if states:
            conditions.append(scenes.c.state.in_(states))
        if query:
            conditions.append(scenes.c.folded_name.contains(query.casefold(), autoescape=True))
        statement = page.select(scenes, *conditions)
        rows = await self._database.read(lambda c: c.execute(statement).all())
        shown, token = page.cut(rows)

        def describe() -> list[pb.Scene]:
            messages = [scene_rows.message_from_row(row) for row in shown]
            for row, message in zip(shown, messages, strict=True):
                self.files.describe(row.id, message)
            return messages

        return await asyncio.to_thread(describe), token

    async def delete(self, scene_id: str, book: JobBook) -> None:
        """Cancel a scene's jobs, wait until nobody writes it, and remove it with its files.

        Raises:
            NotFoundError: NOT_FOUND.
            NotReadyError: OUTPUT_BUSY, somebody else still writes it.
        """
        await self.refresh(scene_id)
        outputs = await self._end_jobs(scene_id, book)
        uri = f"scenes/{scene_id}"
        await self._wait_released(scene_id)
        for key in [*outputs, uri]:
            await self._wait_unlocked(key)
        await asyncio.to_thread(self._remove_files, scene_id)

        def work(connection: sa.Connection) -> None:
            connection.execute(sa.delete(jobs).where(jobs.c.scene == scene_id))
            connection.execute(sa.delete(scenes).where(scenes.c.id == scene_id))

        await self._database.write(work)

    async def _end_jobs(self, scene_id: str, book: JobBook) -> list[str]:
        """Cancel what waits or runs; return the keys that those jobs were writing."""
        active = await self._database.read(lambda c: scene_rows.active_jobs(c, scene_id))
        for job_id in active:
            try:
                await book.cancel(job_id)
            except NotReadyError:
                continue  # it has just ended by itself
        statement = sa.select(jobs.c.plan).where(jobs.c.id.in_(active))
        plans = await self._database.read(lambda c: c.execute(statement).scalars().all())
        return [step.output for plan in plans for step in plan_from_bytes(plan).steps]

    async def _wait_released(self, scene_id: str) -> None:
        """Wait until no replica runs a job of the scene; of one that is dead, not for ever."""
        running = sa.select(jobs.c.id).where(jobs.c.scene == scene_id, jobs.c.executor != "")
        deadline_s = time.monotonic() + BUSY_WAIT_S
        while time.monotonic() < deadline_s:
            if not await self._database.read(lambda c: c.execute(running.limit(1)).all()):
                return
            await asyncio.sleep(BUSY_PAUSE_S)

    async def _wait_unlocked(self, key: str) -> None:
        """Wait until a call that was broken off has let go of its output."""
        deadline_s = time.monotonic() + BUSY_WAIT_S
        while True:
            try:
                await asyncio.to_thread(self._clear_stage, key)
            except NotReadyError:
                if time.monotonic() >= deadline_s:
                    raise
                await asyncio.sleep(BUSY_PAUSE_S)
            else:
                return

    def _clear_stage(self, key: str) -> None:
        """Remove the unfinished work beside an output, if nobody is at it."""
        try:
            with self._store.stage(key, _HASH_OF_NOTHING) as stage:
                stage.discard()
        except AlreadyExistsError:
            return  # finished, and so not being written

    def _remove_files(self, scene_id: str) -> None:
        for key in (f"scenes/{scene_id}", f"thumbnails/{scene_id}.jpg"):
            try:
                self._store.delete(key)
            except NotFoundError:
                continue
        self._clear_stage(f"scenes/{scene_id}")

    async def _refresh_all(self) -> None:
        """Bring all rows in step with the store."""
        found = {scene.id: scene for scene in await asyncio.to_thread(list, self.files.finished())}
        statement = sa.select(scenes.c.id, scenes.c.state)
        rows = await self._database.read(lambda c: c.execute(statement).all())
        known = {row.id: row.state for row in rows}
        ready = pb.Scene.STATE_READY
        await self._adopt([scene for scene in found.values() if known.get(scene.id) != ready])
        lost = [scene_id for scene_id, state in known.items() if state == ready]
        for scene_id in [scene_id for scene_id in lost if scene_id not in found]:
            await self._database.write(self._losing(scene_id))

    async def _adopt(self, found: Sequence[FoundScene]) -> None:
        if not found:
            return

        def work(connection: sa.Connection) -> None:
            for scene in found:
                scene_rows.adopt(connection, scene)

        try:
            await self._database.write(work)
        except IntegrityError:  # another call adopted one of them at the same moment
            await self._database.write(work)

    def _losing(self, scene_id: str) -> Callable[[sa.Connection], None]:
        return lambda connection: scene_rows.lose_files(connection, scene_id)


def _taken(scene_id: str) -> AlreadyExistsError:
    name = f"scenes/{scene_id}"
    return AlreadyExistsError(
        "OUTPUT_EXISTS",
        f"{name!r} exists; choose another scene_id",
        resource_type="scene",
        resource_name=name,
    )
