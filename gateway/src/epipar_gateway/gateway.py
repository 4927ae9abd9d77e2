"""The gateway's parts joined: made in one place, started and stopped in one order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from epipar.scene.v1 import job_service_pb2_grpc, scene_service_pb2_grpc
from epipar_gateway import job_service, scene_service, workflows
from epipar_gateway.compute import ComputeServices
from epipar_gateway.database import Database, dbos_url
from epipar_gateway.engines import Engines
from epipar_gateway.estimates import StageTimings
from epipar_gateway.job_book import JobBook
from epipar_gateway.job_log import JobLog
from epipar_gateway.reconcile import Reconciler, Replica
from epipar_gateway.retention import Retention, RetentionSettings
from epipar_gateway.runner import StepRunner, StepRunnerParts
from epipar_gateway.scene_book import SceneBook
from epipar_gateway.scene_files import SceneFiles
from epipar_gateway.scene_rows import follow_job
from epipar_gateway.sealed_uploads import SealedUploads
from epipar_gateway.settings import GatewaySettings
from epipar_gateway.starts import JobStarts
from epipar_gateway.thumbnails import Thumbnails
from epipar_gateway.watch import WatchHub
from epipar_gateway.workflows import QueueSettings, StepQueue
from epipar_kit.server import Service
from epipar_kit.store import ArtifactStore
from epipar_kit.tidy import to_the_end


class Gateway:
    """Scenes and durable jobs over one store and one database."""

    def __init__(
        self, settings: GatewaySettings, store: ArtifactStore, uploads: SealedUploads
    ) -> None:
        self._settings = settings
        self.database = Database(settings.database_url)
        self.hub = WatchHub(settings.event_poll_s)
        self._log = JobLog(self.database, self.hub.publish, follow_job)
        self._compute = ComputeServices(settings.addresses)
        self._runner = StepRunner(
            StepRunnerParts(
                jobs=self._log,
                compute=self._compute,
                estimates=StageTimings(self.database),
                after_step=Thumbnails(store),
                retries=settings.retries,
                deadlines_s=settings.deadlines_s,
                executor=settings.executor_id,
            )
        )
        self._queue = StepQueue(
            QueueSettings(
                dbos_url(settings.database_url),
                settings.executor_id,
                settings.concurrency,
                settings.queue_poll_s,
                settings.queue_idle_poll_s,
            ),
            self._runner.run,
            self._log.place_of,
        )
        self._reconciler = Reconciler(
            self.database,
            self._queue,
            self._runner,
            Replica(settings.executor_id, workflows.APPLICATION_VERSION, settings.executor_dead_s),
        )
        self._retention = Retention(
            self.database,
            self._queue,
            uploads,
            RetentionSettings(settings.job_retention_days, settings.request_id_hours),
        )
        book = JobBook(
            self.database,
            self._log,
            self._queue,
            publish=self.hub.publish,
            after_change=follow_job,
            stop_here=self._runner.stop_job,
            max_active=settings.max_active_jobs,
        )
        scenes = SceneBook(self.database, store, SceneFiles(store))
        starts = JobStarts(book, scenes, uploads, Engines(self._compute, settings.refused_engines))
        self._jobs = job_service.JobService(starts, book, self._log, self.hub)
        self._scenes = scene_service.SceneService(scenes, book)

    @property
    def services(self) -> list[Service]:
        """What the gateway serves."""
        return [
            Service(
                job_service.NAME,
                lambda server: job_service_pb2_grpc.add_JobServiceServicer_to_server(
                    self._jobs, server
                ),
            ),
            Service(
                scene_service.NAME,
                lambda server: scene_service_pb2_grpc.add_SceneServiceServicer_to_server(
                    self._scenes, server
                ),
            ),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Mapping[str, Any]]:
        """Run jobs while this is open; a companion of the server."""
        settings = self._settings
        async with AsyncExitStack() as parts:
            parts.push_async_callback(asyncio.to_thread, self.database.close)
            await asyncio.to_thread(self.database.create)
            await self._reconciler.beat_once()
            await parts.enter_async_context(self._compute)
            await parts.enter_async_context(self._queue)
            parts.push_async_callback(self._runner.stop_all)
            loops = [
                asyncio.create_task(self.hub.follow_others(self._log)),
                asyncio.create_task(self._reconciler.keep(settings.reconcile_s)),
                asyncio.create_task(self._reconciler.beat()),
                asyncio.create_task(self._reconciler.break_off_cancelled()),
                asyncio.create_task(self._retention.keep(settings.sweep_s)),
            ]
            parts.push_async_callback(_end, loops)
            yield {}


async def _end(loops: list[asyncio.Task[None]]) -> None:
    for loop in loops:
        loop.cancel()
    await to_the_end(_wait(loops))


async def _wait(loops: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(loops)
