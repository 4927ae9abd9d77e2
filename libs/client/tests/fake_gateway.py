"""Real scene and job services with invented jobs, chosen by the name of the uploaded file.

Connections of a watcher can be spoiled: `spoil_watches` has a word for each connection to come.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

from epipar.common.v1 import artifact_pb2, error_reason_pb2, failure_pb2
from epipar.scene.v1 import job_service_pb2 as job_pb2
from epipar.scene.v1 import job_service_pb2_grpc as job_grpc
from epipar.scene.v1 import scene_service_pb2 as scene_pb2
from epipar.scene.v1 import scene_service_pb2_grpc as scene_grpc

from .fake_suite import abort, progress

ENDED = {job_pb2.Job.STATE_SUCCEEDED, job_pb2.Job.STATE_FAILED, job_pb2.Job.STATE_CANCELLED}
STEPS = {
    job_pb2.Job.KIND_RECONSTRUCTION: ("depth", "export"),
    job_pb2.Job.KIND_EXPORT: ("export",),
    job_pb2.Job.KIND_COMPLETION: ("masks", "complete", "export"),
}


class FakeGateway(scene_grpc.SceneServiceServicer, job_grpc.JobServiceServicer):
    """SceneService and JobService in memory, with the files of scenes in a real store."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.scenes: dict[str, scene_pb2.Scene] = {}
        self.jobs: dict[str, job_pb2.Job] = {}
        self.events: dict[str, list[job_pb2.WatchJobResponse]] = {}
        self.requests: list[Any] = []
        self.watched_after: list[int] = []
        self.spoil_watches: list[str] = []
        self._changed = asyncio.Condition()
        self._numbers = itertools.count(1)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._by_request_id: dict[str, str] = {}
        for manifest in sorted(store.glob("scenes/*/scene.json")):
            self._remember(f"scenes/{manifest.parent.name}")

    def _remember(self, name: str) -> None:
        """Know a scene that an earlier process has made."""
        scene = self._new_scene(name)
        scene.state, scene.registered_frames = scene_pb2.Scene.STATE_READY, 59
        for folder in (self.store / name).glob("completions/*"):
            scene.completions.add(name=folder.name, engine="fusion")

    def add_to(self, server: aio.Server) -> None:
        scene_grpc.add_SceneServiceServicer_to_server(self, server)
        job_grpc.add_JobServiceServicer_to_server(self, server)

    # scenes

    async def CreateScene(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.requests.append(request)
        name = f"scenes/{request.scene_id or f'scene-{next(self._numbers)}'}"
        if name in self.scenes:
            await abort(context, grpc.StatusCode.ALREADY_EXISTS, "OUTPUT_EXISTS", f"{name} exists")
        return scene_pb2.CreateSceneResponse(scene=self._new_scene(name, request.display_name))

    def _new_scene(self, name: str, display_name: str = "") -> scene_pb2.Scene:
        scene = scene_pb2.Scene(
            name=name,
            display_name=display_name or name.partition("/")[2],
            state=scene_pb2.Scene.STATE_EMPTY,
        )
        scene.create_time.GetCurrentTime()
        self.scenes[name] = scene
        return scene

    async def GetScene(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        return scene_pb2.GetSceneResponse(scene=await self._scene(request.name, context))

    async def _scene(self, name: str, context: Any) -> scene_pb2.Scene:
        if name not in self.scenes:
            await abort(context, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", f"{name!r} does not exist")
        return self.scenes[name]

    async def ListScenes(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.requests.append(scene_pb2.ListScenesRequest.FromString(request.SerializeToString()))
        found = [
            scene
            for scene in reversed(self.scenes.values())
            if (not request.states or scene.state in request.states)
            and request.query.lower() in scene.display_name.lower()
        ]
        begin, end, token = page_of(request, len(found))
        return scene_pb2.ListScenesResponse(scenes=found[begin:end], next_page_token=token)

    async def DeleteScene(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        await self._scene(request.name, context)
        del self.scenes[request.name]
        return scene_pb2.DeleteSceneResponse()

    # jobs

    async def StartReconstruction(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.requests.append(request)
        uploads = list((self.store / request.upload).glob("[!u]*"))
        if not uploads:
            await abort(context, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", f"no {request.upload!r}")
        story = uploads[0].stem
        scene = self.scenes.get(request.scene) or self._new_scene(
            request.scene or f"scenes/{re.sub('[^a-z0-9]+', '-', story.lower())}"
        )
        job = self._start(job_pb2.Job.KIND_RECONSTRUCTION, scene, story, request)
        return job_pb2.StartReconstructionResponse(job=job)

    async def StartExport(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.requests.append(request)
        scene = await self._scene(request.scene, context)
        job = self._start(job_pb2.Job.KIND_EXPORT, scene, "", request)
        return job_pb2.StartExportResponse(job=job)

    async def StartCompletion(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.requests.append(request)
        scene = await self._scene(request.scene, context)
        job = self._start(job_pb2.Job.KIND_COMPLETION, scene, "", request)
        return job_pb2.StartCompletionResponse(job=job)

    def _start(
        self, kind: job_pb2.Job.Kind.ValueType, scene: scene_pb2.Scene, story: str, request: Any
    ) -> job_pb2.Job:
        if first := self._by_request_id.get(request.request_id):
            return self.jobs[first]
        name = f"jobs/job{next(self._numbers)}"
        self._by_request_id[request.request_id] = name
        steps = [job_pb2.Step(name=step, state=job_pb2.Job.STATE_QUEUED) for step in STEPS[kind]]
        job = job_pb2.Job(
            name=name,
            scene=scene.name,
            kind=kind,
            state=job_pb2.Job.STATE_QUEUED,
            priority=request.priority if request.HasField("priority") else 50,
            steps=steps,
        )
        job.create_time.GetCurrentTime()
        self.jobs[name], self.events[name] = job, []
        self._tasks[name] = asyncio.create_task(self._tell_story(job, scene, story, request))
        return job

    async def _tell_story(
        self, job: job_pb2.Job, scene: scene_pb2.Scene, story: str, request: Any
    ) -> None:
        await self._store(job)
        job.state = job_pb2.Job.STATE_RUNNING
        await self._store(job)
        for step in job.steps:
            step.state = job_pb2.Job.STATE_RUNNING
            step.attempts.add(number=1)
            await self._store(job)
            if story.startswith("flaky"):
                step.attempts[0].failure.CopyFrom(failure("ENGINE_UNAVAILABLE", "restarting"))
                step.attempts.add(number=2)
                await self._store(job)
            for done in range(1, 4):
                told = job_pb2.StepProgress(
                    step=step.name, progress=progress("sweeping", done, 3), remaining_s=90
                )
                await self._store(job, told)
            if story.startswith("split"):
                job.failure.CopyFrom(
                    failure("SPLIT_MODEL", "31 of 60 frames registered", registered="31")
                )
                step.state = job.state = job_pb2.Job.STATE_FAILED
                await self._store(job)
                return
            if story.startswith("forever"):
                await asyncio.Event().wait()
            step.state = job_pb2.Job.STATE_SUCCEEDED
        self._finish(job, scene, request)
        job.state = job_pb2.Job.STATE_SUCCEEDED
        await self._store(job)

    def _finish(self, job: job_pb2.Job, scene: scene_pb2.Scene, request: Any) -> None:
        scene.state, scene.registered_frames = scene_pb2.Scene.STATE_READY, 59
        if prepared := os.environ.get("FAKE_SCENE"):
            shutil.copytree(prepared, self.store / scene.name, dirs_exist_ok=True)
        elif job.kind == job_pb2.Job.KIND_RECONSTRUCTION:
            del scene.artifacts[:], scene.exports[:]
            scene.artifacts.append(self._file(f"{scene.name}/scene.json", "{}"))
            transforms = (
                '{"frames": [{"file_path": "images/frame_00001.png",'
                ' "depth_file_path": "depth/frame_00001.npy"}]}'
            )
            scene.artifacts.append(self._file(f"{scene.name}/transforms.json", transforms))
            for name in ("images/frame_00001.png", "depth/frame_00001.npy"):
                self._file(f"{scene.name}/{name}", name)
        uri = scene.name
        exports = scene.exports
        if job.kind == job_pb2.Job.KIND_COMPLETION:
            completion = scene.completions.add(
                name=request.completion_name or "c0ffee", engine=request.engine or "fusion"
            )
            uri, exports = f"{uri}/completions/{completion.name}", completion.exports
            completion.artifacts.append(self._file(f"{uri}/completion.json", "{}"))
        name = getattr(request, "export_name", "") or "default"
        tileset = '{"root": {"content": {"uri": "tiles/0.glb"}, "children": []}}'
        export = exports.add(name=name)
        export.artifacts.append(self._file(f"{uri}/exports/{name}/tileset.json", tileset))
        self._file(f"{uri}/exports/{name}/tiles/0.glb", "glTF")
        job.artifacts.extend(export.artifacts)

    def _file(self, key: str, text: str) -> artifact_pb2.Artifact:
        path = self.store / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return artifact_pb2.Artifact(name=path.name, uri=key, size_bytes=len(text))

    async def _store(self, job: job_pb2.Job, progress: job_pb2.StepProgress | None = None) -> None:
        job.last_sequence += 1
        told = job_pb2.WatchJobResponse(
            sequence=job.last_sequence, job=None if progress else job, progress=progress
        )
        told.time.GetCurrentTime()
        async with self._changed:
            self.events[job.name].append(told)
            self._changed.notify_all()

    async def GetJob(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        return job_pb2.GetJobResponse(job=await self._job(request.name, context))

    async def _job(self, name: str, context: Any) -> job_pb2.Job:
        if name not in self.jobs:
            await abort(context, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", f"{name!r} does not exist")
        return self.jobs[name]

    async def ListJobs(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        found = [
            job
            for job in reversed(self.jobs.values())
            if (not request.scene or job.scene == request.scene)
            and (not request.states or job.state in request.states)
            and (not request.kinds or job.kind in request.kinds)
        ]
        begin, end, token = page_of(request, len(found))
        return job_pb2.ListJobsResponse(jobs=found[begin:end], next_page_token=token)

    async def CancelJob(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        job = await self._job(request.name, context)
        if job.state in ENDED:
            await abort(
                context,
                grpc.StatusCode.FAILED_PRECONDITION,
                "JOB_FINISHED",
                f"{job.name!r} has ended",
            )
        self._tasks[job.name].cancel()
        job.state = job_pb2.Job.STATE_CANCELLED
        await self._store(job)
        return job_pb2.CancelJobResponse(job=job)

    async def RetryJob(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.requests.append(request)
        job = await self._job(request.name, context)
        if job.state not in ENDED or job.state == job_pb2.Job.STATE_SUCCEEDED:
            refused = "BAD_REQUEST" if job.state not in ENDED else "JOB_FINISHED"
            status = grpc.StatusCode.FAILED_PRECONDITION
            await abort(context, status, refused, f"{job.name!r} is neither failed nor cancelled")
        scene = await self._scene(job.scene, context)
        started = job_pb2.StartReconstructionRequest(
            request_id=request.request_id, priority=job.priority
        )
        return job_pb2.RetryJobResponse(job=self._start(job.kind, scene, "", started))

    async def DeleteJob(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        job = await self._job(request.name, context)
        del self.jobs[job.name]
        return job_pb2.DeleteJobResponse()

    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the contract's name
        job = await self._job(request.name, context)
        self.watched_after.append(request.after_sequence)
        spoil = self.spoil_watches.pop(0) if self.spoil_watches else ""
        events, sent = self.events[job.name], request.after_sequence
        yield job_pb2.WatchJobResponse(sequence=sent, heartbeat=job_pb2.Heartbeat())
        while job.state not in ENDED or sent < len(events):
            await self._have(events, sent + 1)
            match spoil.split(" "):
                case ["cut", code]:
                    yield events[sent]
                    await context.abort(grpc.StatusCode[code], "cut")
                case ["end"]:
                    return
                case ["silent"]:
                    await asyncio.Event().wait()
                case ["repeat"]:
                    for event in events[: sent + 1]:
                        yield event
                case ["gap"]:
                    await self._have(events, sent + 2)
                    yield events[sent + 1]
                case ["swap"]:
                    await self._have(events, sent + 2)
                    yield events[sent + 1]
                    yield events[sent]
                case _:
                    yield events[sent]
            sent += 1

    async def _have(self, events: list[Any], count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(events) >= count)


def page_of(request: Any, count: int) -> tuple[int, int, str]:
    """Return the bounds of a page and the token of the next."""
    begin = int(request.page_token or 0)
    end = min(begin + request.page_size, count)
    return begin, end, str(end) if end < count else ""


def failure(reason: str, message: str, **metadata: str) -> failure_pb2.Failure:
    number = error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{reason}")
    return failure_pb2.Failure(reason=number, message=message, metadata=metadata)
