"""Durable execution: each step of a job is one DBOS workflow on its service's queue.

A step's workflow gives the next step to its queue before it ends, so that a job waits in no slot
but that of the service whose turn it is. The workflow's id names job, step and run; giving one to
the queue twice does nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dbos import DBOS, DBOSConfig, WorkflowStatus

from epipar_gateway.queue_threads import QueueThreads
from epipar_gateway.step_record import StepRef

APPLICATION_VERSION = "epipar-gateway-1"
"""Pinned: DBOS runs and recovers only workflows of its own version. Raised when their steps change;
what earlier versions left behind is then taken up by the reconciler."""

FIRST_VERSION = "epipar-gateway-1"
"""Of replicas that do not say which they are."""

WORKFLOW = "epipar_step"
GC_BATCH = 500
END_WAIT_S = 5.0
END_PAUSE_S = 0.02
NO_SCHEDULES_S = 3600.0
"""How often DBOS looks for schedules; there are none."""

NO_NOTIFICATIONS_S = 0.25
"""How often DBOS looks for notifications to send; there are none, and ending it takes so long."""

SLOT_FREE_S = 0.05
"""DBOS frees the slot of a workflow when it has ended, in about this time."""

RunStep = Callable[[StepRef], Awaitable[bool]]
PlaceOf = Callable[[str, int], Awaitable[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How DBOS works here.

    Attributes:
        database_url: of its own tables.
        executor: stable name of this replica.
        concurrency: calls at once by service, over all replicas.
        poll_s: how often each queue is looked at while something happens there.
        idle_poll_s: how often in silence.
    """

    database_url: str
    executor: str
    concurrency: Mapping[str, int]
    poll_s: float
    idle_poll_s: float


@dataclass(frozen=True, slots=True)
class QueuedStep:
    """What the queue knows of a step that was given to it.

    Attributes:
        waits: whether it still waits or runs.
        executor: who took it; "" while nobody has.
        version: of the program that gave it; no other takes or recovers it.
    """

    waits: bool
    executor: str
    version: str


class StepQueue:
    """Gives steps to the queues and runs those whose turn it is; an async context manager.

    Args:
        settings: see QueueSettings.
        run_step: runs one step; tells whether there is another.
        place_of: returns the service of a job's step, and the job's priority, 0 to 100.
    """

    def __init__(self, settings: QueueSettings, run_step: RunStep, place_of: PlaceOf) -> None:
        self._settings = settings
        self._run_step = run_step
        self._place_of = place_of
        self._threads = QueueThreads(settings.idle_poll_s)

    async def __aenter__(self) -> Self:
        settings = self._settings
        config: DBOSConfig = {
            "name": "epipar-gateway",
            "system_database_url": settings.database_url,
            "application_version": APPLICATION_VERSION,
            "executor_id": settings.executor,
            "log_level": "WARNING",
            "enable_otlp": False,
            "scheduler_polling_interval_sec": NO_SCHEDULES_S,
            "notification_coalesce_sec": NO_NOTIFICATIONS_S,
        }
        DBOS(config=config)
        # Registered by name at run time: the parts that it works with are this object's.
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(self._make_workflow())
        DBOS.listen_queues([])  # the threads here do
        # In the loop's own thread: DBOS then runs its workflows in this loop.
        DBOS.launch()
        for name, slots in settings.concurrency.items():
            await DBOS.register_queue_async(
                name,
                global_concurrency=slots,
                polling_interval_sec=settings.poll_s,
                on_conflict="always_update",
            )
        await self._threads.start(list(settings.concurrency))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._let_end()
        await self._threads.stop()
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
        # DBOS made its own threads the loop's default and has just shut them down.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor())

    async def enqueue(self, ref: StepRef) -> None:
        """Give a step to its service's queue; again makes no difference."""
        service, priority = await self._place_of(ref.job, ref.index)
        await DBOS.enqueue_workflow_with_options_async(
            {
                "workflow_name": WORKFLOW,
                "queue_name": service,
                "workflow_id": workflow_id(ref),
                "app_version": APPLICATION_VERSION,
                "priority": 101 - priority,  # DBOS takes the lowest first
            },
            ref.job,
            ref.index,
            ref.run,
        )
        self._threads.wake(service)

    async def states(self, refs: Sequence[StepRef]) -> dict[StepRef, QueuedStep]:
        """Return what is known of those steps that were given to a queue."""
        by_id = {workflow_id(ref): ref for ref in refs}
        found = await DBOS.list_workflows_async(
            workflow_ids=list(by_id), load_input=False, load_output=False
        )
        return {by_id[status.workflow_id]: _queued(status) for status in found}

    async def taken(self) -> list[tuple[StepRef, QueuedStep]]:
        """Return the steps that were taken from the queues and did not end."""
        found = await DBOS.list_workflows_async(
            status="PENDING", limit=GC_BATCH, load_input=False, load_output=False
        )
        return [(step_ref(status.workflow_id), _queued(status)) for status in found]

    async def give_up(self, ref: StepRef) -> None:
        """Free the slot of a step whose executor is dead."""
        await DBOS.cancel_workflow_async(workflow_id(ref))
        self._threads.wake_all()

    async def forget(self, ended_before: str) -> int:
        """Delete records of steps that ended before a time; return how many."""
        found = await DBOS.list_workflows_async(
            status=["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"],
            completed_before=ended_before,
            limit=GC_BATCH,
            load_input=False,
            load_output=False,
        )
        ids = [status.workflow_id for status in found]
        if ids:
            await DBOS.delete_workflows_async(ids)
        return len(ids)

    async def _let_end(self) -> None:
        """Wait until DBOS has written down how the workflows ended that were broken off here."""
        deadline_s = time.monotonic() + END_WAIT_S
        while time.monotonic() < deadline_s:
            left = await DBOS.list_workflows_async(
                status="PENDING",
                executor_id=self._settings.executor,
                limit=1,
                load_input=False,
                load_output=False,
            )
            if not left:
                return
            await asyncio.sleep(END_PAUSE_S)

    def _make_workflow(self) -> Callable[[str, int, int], Awaitable[None]]:
        async def run(job: str, index: int, run_number: int) -> bool:
            return await self._run_step(StepRef(job, index, run_number))

        async def workflow(job: str, index: int, run_number: int) -> None:
            try:
                if await DBOS.run_step_async({"name": "run"}, run, job, index, run_number):
                    await self.enqueue(StepRef(job, index + 1, 0))
            finally:
                asyncio.get_running_loop().call_later(SLOT_FREE_S, self._threads.wake_all)

        return workflow


def _queued(status: WorkflowStatus) -> QueuedStep:
    return QueuedStep(
        waits=status.status in {"ENQUEUED", "DELAYED", "PENDING"},
        executor=(status.executor_id or "") if status.status == "PENDING" else "",
        version=status.app_version or FIRST_VERSION,
    )


def step_ref(workflow: str) -> StepRef:
    """Return the step that a workflow's id names."""
    job, index, run = workflow.split(".")
    return StepRef(job, int(index), int(run))


def workflow_id(ref: StepRef) -> str:
    """Return the id of a step's workflow."""
    return f"{ref.job}.{ref.index}.{ref.run}"
