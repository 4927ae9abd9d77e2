"""Rows of scenes: made, adopted, kept in step with their jobs."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from epipar.scene.v1 import job_service_pb2 as job_pb
from epipar.scene.v1 import scene_service_pb2 as pb
from epipar_gateway.database import for_update
from epipar_gateway.ids import now_us
from epipar_gateway.job_log import JobRow
from epipar_gateway.job_state import ENDED, time_from_us
from epipar_gateway.scene_files import FoundScene
from epipar_gateway.tables import jobs, scenes
from epipar_kit.errors import InvalidInputError, NotFoundError

MAX_NAME_LETTERS = 200

_ACTIVE = [job_pb.Job.STATE_QUEUED, job_pb.Job.STATE_RUNNING]


def display_name_from(text: str, default: str) -> str:
    """Return the name for people.

    Raises:
        InvalidInputError: BAD_REQUEST with the field.
    """
    if len(text) > MAX_NAME_LETTERS:
        raise InvalidInputError(
            "BAD_REQUEST",
            "display_name",
            f"display_name has {len(text)} characters; at most {MAX_NAME_LETTERS} are allowed",
        )
    return text.strip() or default


def insert_scene(
    connection: sa.Connection,
    scene_id: str,
    display_name: str,
    state: pb.Scene.State.ValueType,
    time_us: int | None = None,
) -> None:
    """Store a new scene."""
    time_us = now_us() if time_us is None else time_us
    connection.execute(
        sa.insert(scenes).values(
            id=scene_id,
            display_name=display_name,
            folded_name=display_name.casefold()[:400],
            state=state,
            created_us=time_us,
            updated_us=time_us,
        )
    )


def scene_row(connection: sa.Connection, scene_id: str, *, lock: bool = False) -> Any:
    """Return a scene's row, None where there is none."""
    statement = sa.select(scenes).where(scenes.c.id == scene_id)
    return connection.execute(for_update(statement) if lock else statement).one_or_none()


def adopt(connection: sa.Connection, found: FoundScene) -> None:
    """Take up a scene that was finished without us."""
    row = scene_row(connection, found.id)
    if row is None:
        insert_scene(connection, found.id, found.id, pb.Scene.STATE_READY, found.finished_us)
    elif row.state != pb.Scene.STATE_READY:
        set_state(connection, found.id, pb.Scene.STATE_READY)


def set_state(connection: sa.Connection, scene_id: str, state: pb.Scene.State.ValueType) -> None:
    """Write a scene's state, if it is another."""
    connection.execute(
        sa.update(scenes)
        .where(scenes.c.id == scene_id, scenes.c.state != state)
        .values(state=state, updated_us=now_us())
    )


def lose_files(connection: sa.Connection, scene_id: str) -> None:
    """Write the state of a scene whose folder is gone or was never finished."""
    statement = (
        sa.select(jobs.c.state)
        .where(jobs.c.scene == scene_id, jobs.c.kind == job_pb.Job.KIND_RECONSTRUCTION)
        .order_by(jobs.c.created_us.desc(), jobs.c.id.desc())
        .limit(1)
    )
    last = connection.execute(statement).scalar()
    state: pb.Scene.State.ValueType = pb.Scene.STATE_EMPTY
    if last in _ACTIVE:
        state = pb.Scene.STATE_RECONSTRUCTING
    elif last == job_pb.Job.STATE_FAILED:
        state = pb.Scene.STATE_FAILED
    set_state(connection, scene_id, state)


def follow_job(connection: sa.Connection, row: JobRow) -> None:
    """Bring a scene's row in step with a job of it, inside the job's own transaction."""
    scene_id = row.job.scene.removeprefix("scenes/")
    if row.job.kind != job_pb.Job.KIND_RECONSTRUCTION:
        touched = sa.update(scenes).where(scenes.c.id == scene_id).values(updated_us=now_us())
        connection.execute(touched)
        return
    state: pb.Scene.State.ValueType = pb.Scene.STATE_EMPTY
    if row.job.steps[0].state == job_pb.Job.STATE_SUCCEEDED:
        state = pb.Scene.STATE_READY
    elif row.job.state not in ENDED:
        state = pb.Scene.STATE_RECONSTRUCTING
    elif row.job.state == job_pb.Job.STATE_FAILED:
        state = pb.Scene.STATE_FAILED
    set_state(connection, scene_id, state)


def active_jobs(connection: sa.Connection, scene_id: str) -> list[str]:
    """Return ids of the scene's jobs that wait or run."""
    statement = sa.select(jobs.c.id).where(jobs.c.scene == scene_id, jobs.c.state.in_(_ACTIVE))
    return list(connection.execute(statement).scalars())


def message_from_row(row: Any) -> pb.Scene:
    """Return a scene as its row knows it."""
    return pb.Scene(
        name=f"scenes/{row.id}",
        display_name=row.display_name,
        state=row.state,
        create_time=time_from_us(row.created_us),
        update_time=time_from_us(row.updated_us),
    )


def no_scene(scene_id: str) -> NotFoundError:
    """Return the error for a scene that does not exist."""
    name = f"scenes/{scene_id}"
    return NotFoundError(
        "NOT_FOUND", f"{name!r} does not exist", resource_type="scene", resource_name=name
    )
