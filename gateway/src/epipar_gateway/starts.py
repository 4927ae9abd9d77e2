"""What must hold before a job may start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import PurePosixPath

import sqlalchemy as sa

from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb
from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import scene_service_pb2 as scene_pb
from epipar_gateway.engines import Engines
from epipar_gateway.ids import new_scene_id, scene_id_from, upload_name_from
from epipar_gateway.job_book import JobBook, NewJob
from epipar_gateway.plans import (
    DEFAULT_DEPTH_ENGINE,
    JobPlan,
    completion_plan,
    export_plan,
    reconstruction_plan,
)
from epipar_gateway.request_ids import RequestKey
from epipar_gateway.scene_book import SceneBook
from epipar_gateway.scene_rows import display_name_from, insert_scene, no_scene, scene_row
from epipar_gateway.sealed_uploads import SealedUploads
from epipar_kit.errors import (
    AlreadyExistsError,
    NotFoundError,
    NotReadyError,
)

_REFILLABLE = {scene_pb.Scene.STATE_EMPTY, scene_pb.Scene.STATE_FAILED}


class JobStarts:
    """Checks a request against scenes, uploads and settings, and starts its job."""

    def __init__(
        self,
        book: JobBook,
        scenes: SceneBook,
        uploads: SealedUploads,
        engines: Engines,
    ) -> None:
        self._book = book
        self._scenes = scenes
        self._uploads = uploads
        self._engines = engines

    async def reconstruction(
        self, request: pb.StartReconstructionRequest, key: RequestKey, priority: int
    ) -> pb.Job:
        """Start depth and export of an upload, in a new scene or an empty one.

        Raises:
            EpiparError: as the contract says.
        """
        upload_name = upload_name_from(request.upload)
        given = scene_id_from(request.scene) if request.scene else ""
        if before := await self._book.answered(key):
            return before
        await self._engines.check("depth", request.engine or DEFAULT_DEPTH_ENGINE)
        upload = await asyncio.to_thread(self._uploads.sealed, upload_name)
        title = upload.display_name or PurePosixPath(upload.file_name).stem or "scene"
        scene_id = given or new_scene_id(title)
        if given:
            await self._scenes.refresh(given)

        def prepare(connection: sa.Connection) -> None:
            if given:
                _check_refillable(connection, given)
                return
            name = display_name_from(title[:200], scene_id)
            insert_scene(connection, scene_id, name, scene_pb.Scene.STATE_RECONSTRUCTING)

        plan = reconstruction_plan(request, scene_id, upload.key)
        return await self._book.start(
            NewJob(pb.Job.KIND_RECONSTRUCTION, plan, priority, key, prepare)
        )

    async def export(
        self, request: pb.StartExportRequest, key: RequestKey, priority: int
    ) -> pb.Job:
        """Start an export of a finished scene or completion.

        Raises:
            EpiparError: as the contract says.
        """
        plan = export_plan(request)
        if before := await self._book.answered(key):
            return before
        return await self._start_on_scene(pb.Job.KIND_EXPORT, plan, priority, key)

    async def completion(
        self, request: pb.StartCompletionRequest, key: RequestKey, priority: int
    ) -> pb.Job:
        """Start masks, completion and export of a finished scene.

        Raises:
            EpiparError: as the contract says.
        """
        plan = completion_plan(request)
        if before := await self._book.answered(key):
            return before
        await self._check_engines(plan)
        return await self._start_on_scene(pb.Job.KIND_COMPLETION, plan, priority, key)

    async def again(self, job_id: str, key: RequestKey) -> pb.Job:
        """Start what is left of a failed or cancelled job, checked once more.

        Raises:
            EpiparError: as the contract says.
        """
        if before := await self._book.answered(key):
            return before
        job, plan = await self._book.ended_badly(job_id)
        kind, plan = _left_of(job, plan)
        await self._check_engines(plan)
        if kind != pb.Job.KIND_RECONSTRUCTION:
            return await self._start_on_scene(kind, plan, job.priority, key)
        upload = "/".join(plan.steps[0].source.split("/")[:2])
        await asyncio.to_thread(self._uploads.sealed, upload)
        await self._scenes.refresh(plan.scene)
        return await self._book.start(
            NewJob(kind, plan, job.priority, key, lambda c: _check_refillable(c, plan.scene))
        )

    async def _start_on_scene(
        self, kind: pb.Job.Kind.ValueType, plan: JobPlan, priority: int, key: RequestKey
    ) -> pb.Job:
        """Start a job that needs its scene finished, and the completion that it reads."""
        await self._check_finished(plan.scene)
        _, _, *completion = plan.steps[0].source.split("/")
        if completion:
            await self._check_completion(plan.scene, completion[-1])
        is_made = await asyncio.to_thread(self._scenes.files.exists, plan.output)
        return await self._book.start(
            NewJob(kind, plan, priority, key, _scene_is_there(plan), is_made)
        )

    async def _check_engines(self, plan: JobPlan) -> None:
        for step in plan.steps:
            if isinstance(step.request, depth_pb.PredictRequest | inpaint_pb.CompleteRequest):
                await self._engines.check(step.service, step.engine)

    async def _check_finished(self, scene_id: str) -> None:
        state = await self._scenes.refresh(scene_id)
        if state != scene_pb.Scene.STATE_READY:
            name = f"scenes/{scene_id}"
            shown = scene_pb.Scene.State.Name(state).removeprefix("STATE_")
            raise NotReadyError(
                "SCENE_INCOMPLETE",
                f"{name!r} is {shown}; it must be READY before it is exported or completed",
                subject=name,
            )

    async def _check_completion(self, scene_id: str, completion: str) -> None:
        uri = f"scenes/{scene_id}/completions/{completion}"
        if not await asyncio.to_thread(self._scenes.files.exists, f"{uri}/completion.json"):
            raise NotFoundError(
                "NOT_FOUND",
                f"{uri!r} does not exist or is not finished",
                resource_type="completion",
                resource_name=uri,
            )


def _check_refillable(connection: sa.Connection, scene_id: str) -> None:
    row = scene_row(connection, scene_id, lock=True)
    if row is None:
        raise no_scene(scene_id)
    if row.state not in _REFILLABLE:
        shown = scene_pb.Scene.State.Name(row.state).removeprefix("STATE_")
        name = f"scenes/{scene_id}"
        raise AlreadyExistsError(
            "OUTPUT_EXISTS",
            f"{name!r} is {shown}; only an EMPTY or FAILED scene can be filled",
            resource_type="scene",
            resource_name=name,
        )


def _left_of(job: pb.Job, plan: JobPlan) -> tuple[pb.Job.Kind.ValueType, JobPlan]:
    """Return what a job is to do again: of a scene that stands, only its export."""
    if job.kind == pb.Job.KIND_RECONSTRUCTION and job.steps[0].state == pb.Job.STATE_SUCCEEDED:
        return pb.Job.KIND_EXPORT, JobPlan(plan.scene, plan.steps[1:], plan.output)
    return job.kind, plan


def _scene_is_there(plan: JobPlan) -> Callable[[sa.Connection], None]:
    def prepare(connection: sa.Connection) -> None:
        # Locked, so that the scene cannot be deleted while this job is stored.
        if scene_row(connection, plan.scene, lock=True) is None:
            raise no_scene(plan.scene)

    return prepare
