"""Make one output exactly once: answer it from what exists, or have a job make it, then publish.

This is what every compute call of the suite does; a service adds what its messages look like.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from epipar_kit.errors import AlreadyExistsError, InternalError, InvalidInputError
from epipar_kit.events import Event, ProgressEvent, Report, ResultEvent
from epipar_kit.store import ArtifactStore, OutputStage
from epipar_kit.thread_work import run_in_thread
from epipar_kit.tidy import to_the_end
from epipar_kit.work import run_work
from epipar_kit.work_watch import WorkWatch, watching


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """One output to make.

    Attributes:
        output_uri: store key of the folder to make.
        manifest_name: file in it that is written last and holds ``content_hash``.
        content_hash: hash of input and options.
        module: module of the job, see work.run_work.
        request: makes the job's request from the folder that the job is to fill; runs in a thread
            and may lay small inputs down there.
        env: variables for the job.
        cancel_grace_s: how long a cancelled job may take to keep what it has, before it is killed.
        in_process: does the job's work in a thread of this process instead, see
            thread_work.run_in_thread; only for work that is small and bounded.
    """

    output_uri: str
    manifest_name: str
    content_hash: str
    module: str
    request: Callable[[Path], Mapping[str, Any]]
    env: Mapping[str, str] = field(default_factory=dict)
    cancel_grace_s: float = 1.0
    in_process: Callable[[Mapping[str, Any], Report], dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class FinishedEvent(ResultEvent):
    """The output is there. Comes once and last.

    Attributes:
        result: what the job returned; empty if ``cached``.
        manifest: what the output's manifest holds.
        cached: it was there before; nothing was done.
    """

    manifest: dict[str, Any]
    cached: bool


async def make_output(
    store: ArtifactStore, plan: OutputPlan
) -> AsyncGenerator[ProgressEvent | FinishedEvent, None]:
    """Make an output, or find it made.

    Work that was interrupted, or stopped for want of room, is kept for the next call with the same
    hash; after an InvalidInputError it is thrown away, as no repeat can succeed.

    Yields:
        ProgressEvent as they come, then one FinishedEvent.

    Raises:
        AlreadyExistsError: OUTPUT_EXISTS, the output is there with another hash.
        NotReadyError: OUTPUT_BUSY, another call is making it.
        EpiparError: what the job raised.
    """
    manifest = await asyncio.to_thread(_finished, store, plan)
    if manifest is not None:
        yield FinishedEvent({}, manifest, cached=True)
        return
    try:
        stage = await asyncio.to_thread(
            store.stage, plan.output_uri, plan.content_hash, plan.manifest_name
        )
    except AlreadyExistsError:
        # Another call may have finished the same output since we looked.
        manifest = await asyncio.to_thread(_finished, store, plan)
        if manifest is None:
            raise
        yield FinishedEvent({}, manifest, cached=True)
        return
    result: dict[str, Any] = {}
    try:
        with watching(plan.module) as watch:
            try:
                with watch.part("prepare"):
                    request = await asyncio.to_thread(plan.request, stage.path)
                async with aclosing(_work(stage, plan, request, watch)) as events:
                    async for event in events:
                        stage.check()
                        if isinstance(event, ResultEvent):
                            result = event.result
                        else:
                            watch.progress(event)
                            yield event
            except InvalidInputError:
                await asyncio.to_thread(stage.discard)
                raise
            with watch.part("publish"):
                await to_the_end(asyncio.to_thread(stage.publish))
    finally:
        await to_the_end(asyncio.to_thread(stage.close))
    manifest = await asyncio.to_thread(_finished, store, plan)
    if manifest is None:
        raise InternalError
    yield FinishedEvent(result, manifest, cached=False)


def _finished(store: ArtifactStore, plan: OutputPlan) -> dict[str, Any] | None:
    return store.finished(plan.output_uri, plan.content_hash, plan.manifest_name)


def _work(
    stage: OutputStage, plan: OutputPlan, request: Mapping[str, Any], watch: WorkWatch
) -> AsyncGenerator[Event, None]:
    if (work := plan.in_process) is not None:
        return run_in_thread(lambda report: work(request, report))
    # The child inherits the lock: should this process be killed, nobody else can write the output
    # before the child is gone too.
    return run_work(
        plan.module,
        request,
        env={**plan.env, **watch.env},
        pass_fds=(stage.lock_fd,),
        cancel_grace_s=plan.cancel_grace_s,
    )
