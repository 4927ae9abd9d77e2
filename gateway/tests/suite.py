"""A gateway for tests: in this loop or as a process, with its clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc
from epipar.scene.v1 import scene_service_pb2_grpc as scene_grpc
from epipar_gateway.gateway import Gateway
from epipar_gateway.settings import GatewaySettings
from epipar_gateway.uploads.book import UploadBook
from epipar_gateway.uploads.metadata import UploadMetadata
from epipar_kit.server import Server
from epipar_kit.store import FolderStore

from .fake_compute import FakeCompute

ENDED = {pb.Job.STATE_SUCCEEDED, pb.Job.STATE_FAILED, pb.Job.STATE_CANCELLED}
VIDEO = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0" * 64
"""As much of an MP4 as is looked at before it is decoded."""

QUICK = {"queue_poll_s": 0.05, "event_poll_s": 0.05, "retry_first_s": 0.01, "reconcile_s": 0.1}


@dataclass(slots=True)
class Suite:
    """A running gateway with what a test needs beside it."""

    gateway: Gateway
    channel: grpc.aio.Channel
    fake: FakeCompute
    store: Path
    jobs: Any
    scenes: Any
    uploads: UploadBook

    def upload(self, file_name: str = "clip.mp4") -> str:
        """Put a sealed upload into the store, as the uploads' own part does."""
        return put_upload(self.store, file_name)

    async def start(self, **values: Any) -> pb.Job:
        """Start a reconstruction."""
        values = {"upload": self.upload(), **values}
        request = pb.StartReconstructionRequest(**values)
        return (await self.jobs.StartReconstruction(request)).job  # type: ignore[no-any-return]  # the stub is untyped here

    async def events(self, job: pb.Job, after: int = 0) -> list[pb.WatchJobResponse]:
        """Watch a job to its end; heartbeats left out."""
        stream = self.jobs.WatchJob(pb.WatchJobRequest(name=job.name, after_sequence=after))
        return [event async for event in stream if event.WhichOneof("event") != "heartbeat"]

    async def ended(self, job: pb.Job) -> pb.Job:
        """Wait for a job's end."""
        return (await self.events(job))[-1].job

    async def until(self, job: pb.Job, event: str, after: int = 0) -> pb.WatchJobResponse:
        """Wait for the first event of a kind: "job" running, or "progress"."""
        stream = self.jobs.WatchJob(pb.WatchJobRequest(name=job.name, after_sequence=after))
        async for told in stream:
            is_running = told.job.state == pb.Job.STATE_RUNNING or event == "progress"
            if told.WhichOneof("event") == event and is_running:
                stream.cancel()
                return told  # type: ignore[no-any-return]  # the stub is untyped here
        raise AssertionError(f"{job.name} ended without {event}")


def put_upload(store: Path, file_name: str = "clip.mp4", display_name: str = "") -> str:
    """Seal a small upload in a store."""
    book = UploadBook(store)
    status = book.create(len(VIDEO), UploadMetadata(file_name, "", display_name, ""))
    upload_id = status.record.name.removeprefix("uploads/")
    receiving = book.open(upload_id)
    try:
        receiving.append(VIDEO)
        receiving.sync()
    finally:
        book.close(receiving)
    return book.seal(upload_id).name


def settings_of(store: Path, fake_address: str, **values: Any) -> GatewaySettings:
    """Return quick settings."""
    return GatewaySettings(
        **{
            "store_url": store.as_uri(),
            "port": 0,
            "http_port": 0,
            "grace_s": 0,
            "database_url": f"sqlite:///{store.parent}/gateway.sqlite",
            "depth_address": fake_address,
            "export_address": fake_address,
            "inpaint_address": fake_address,
            **QUICK,
            **values,
        }
    )


@asynccontextmanager
async def running_suite(store: Path, fake: FakeCompute, **values: Any) -> AsyncIterator[Suite]:
    """Run a gateway in this loop, on a free port."""
    settings = settings_of(store, fake.address, **values)
    folder = FolderStore(store)
    book = UploadBook(folder.root)
    gateway = Gateway(settings, folder, book)
    async with AsyncExitStack() as parts:
        await parts.enter_async_context(gateway.running())
        server = await parts.enter_async_context(Server(settings, gateway.services))
        parts.callback(gateway.hub.close)
        channel = await parts.enter_async_context(
            grpc.aio.insecure_channel(
                server.ready.address, options=[("grpc.use_local_subchannel_pool", 1)]
            )
        )
        yield Suite(
            gateway,
            channel,
            fake,
            store,
            pb_grpc.JobServiceStub(channel),
            scene_grpc.SceneServiceStub(channel),
            book,
        )


async def all_of(*awaitables: Any) -> list[Any]:
    """Await many at once."""
    return list(await asyncio.gather(*awaitables))


async def first_done(*awaitables: Any, count: int) -> list[Any]:
    """Await the first so many, and drop the others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    done = []
    for finished in asyncio.as_completed(tasks):
        done.append(await finished)
        if len(done) == count:
            break
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return done
