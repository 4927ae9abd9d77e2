"""What commands with `--address` share: names, links, jobs that are followed to their end."""

from __future__ import annotations

import asyncio
import contextlib
import re
from argparse import Namespace

from epipar_cli.output import Reporter
from epipar_client import (
    DeadlineExceededError,
    EpiparClient,
    EpiparError,
    InvalidInputError,
    Job,
    JobEvent,
)

_SCENE_ID = re.compile(r"[a-z0-9-]{1,63}")
_JOB_ID = re.compile(r"[a-z0-9_-]{1,64}")


def scene_name_of(text: str) -> str:
    """Return the resource name of a scene that is written "kitchen" or "scenes/kitchen".

    Raises:
        InvalidInputError: it cannot be one.
    """
    scene_id = text.removeprefix("scenes/").rstrip("/")
    if not _SCENE_ID.fullmatch(scene_id):
        raise InvalidInputError(
            f"the scene is {text!r}; on a suite its name must be 1 to 63 characters of a-z, 0-9 "
            'and "-"',
            reason="BAD_REQUEST",
            field="scene",
        )
    return f"scenes/{scene_id}"


def job_name_of(text: str) -> str:
    """Return the resource name of a job that is written "abc" or "jobs/abc".

    Raises:
        InvalidInputError: it cannot be one.
    """
    job_id = text.removeprefix("jobs/")
    if not _JOB_ID.fullmatch(job_id):
        raise InvalidInputError(
            f"the job is {text!r}; it must look like jobs/abc", reason="BAD_REQUEST", field="job"
        )
    return f"jobs/{job_id}"


def page_of(client: EpiparClient, name: str) -> str:
    """Return the viewer's address of a scene or a job."""
    return f"{client.base_url}/#/{name}"


class JobTeller:
    """Says what happens to a job, each thing once."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._told: set[tuple[object, ...]] = set()

    def tell(self, event: JobEvent) -> None:
        """Show progress; tell states of the job and attempts that failed."""
        if (progress := event.progress) is not None:
            self._reporter.progress(
                progress.progress,
                step=progress.step,
                remaining_s=progress.remaining_s,
                sequence=event.sequence,
            )
        if event.job is not None:
            self._tell_job(event.job, event.sequence)

    def _tell_job(self, job: Job, sequence: int) -> None:
        if not job.ended and self._is_new("state", job.state):
            text = f"{job.name} {'waits for its turn' if job.state == 'queued' else 'runs'}"
            facts = {"job": job.name, "state": job.state, "sequence": sequence}
            self._reporter.event("job_state", text, facts)
        for step in job.steps:
            for attempt in step.attempts:
                failure = attempt.failure
                if failure is not None and self._is_new(step.name, attempt.number):
                    self._reporter.event(
                        "attempt_failed",
                        f"{step.name}: attempt {attempt.number} failed: {failure.reason}: "
                        f"{failure.message}",
                        {
                            "job": job.name,
                            "step": step.name,
                            "attempt": attempt.number,
                            "reason": failure.reason,
                            "message": failure.message,
                        },
                    )

    def _is_new(self, *what: object) -> bool:
        known = what in self._told
        self._told.add(what)
        return not known


async def follow_job(
    client: EpiparClient, job: Job, arguments: Namespace, reporter: Reporter
) -> Job:
    """Watch a job to its end. When this is interrupted the job goes on, unless told otherwise.

    Raises:
        DeadlineExceededError: `--timeout` passed; the job goes on.
        EpiparError: the job failed or was cancelled, or watching it failed.
    """
    try:
        async with asyncio.timeout(arguments.timeout):
            return await client.wait_for_job(job.name, on_event=JobTeller(reporter).tell)
    except TimeoutError:
        raise DeadlineExceededError(
            f"{job.name} had not ended after {arguments.timeout:g} s; it goes on: "
            f"{ways_of(job.name, arguments)}",
            reason="DEADLINE_EXCEEDED",
            metadata={"job": job.name},
        ) from None
    except asyncio.CancelledError:
        await _leave(client, job, arguments, reporter)
        raise


async def _leave(client: EpiparClient, job: Job, arguments: Namespace, reporter: Reporter) -> None:
    """Say, or do, what becomes of a job whose watcher was interrupted."""
    reporter.close()
    if not arguments.cancel_on_interrupt:
        text = f"epipar: {job.name} goes on; {ways_of(job.name, arguments)}"
        reporter.event("job_goes_on", text, {"job": job.name, "scene": job.scene})
        return
    with contextlib.suppress(EpiparError):  # it may have ended by itself
        await client.cancel_job(job.name)
    reporter.event("job_cancelled", f"epipar: {job.name} is cancelled", {"job": job.name})


def ways_of(name: str, arguments: Namespace) -> str:
    """Return how to come back to a job, or to end it."""
    at = f"--address {arguments.address}"
    return f"watch it: epipar jobs watch {name} {at}; stop it: epipar jobs cancel {name} {at}"


def report_started(
    client: EpiparClient, job: Job, arguments: Namespace, reporter: Reporter
) -> None:
    """Tell, last, that a job was queued and is not waited for."""
    lines = [
        f"job       {job.name}",
        f"scene     {job.scene}",
        f"look      {page_of(client, job.name)}",
        ways_of(job.name, arguments),
    ]
    facts = {
        "kind": "job",
        "job": job.name,
        "scene": job.scene,
        "state": job.state,
        "url": page_of(client, job.name),
    }
    reporter.result("\n".join(lines), facts)


async def report_scene(client: EpiparClient, job: Job, reporter: Reporter) -> None:
    """Tell, last, which scene a job has made, and where to look at it.

    Raises:
        EpiparError: the scene cannot be read.
    """
    scene = await client.get_scene(job.scene)
    url = page_of(client, scene.name)
    lines = [
        f"scene     {scene.name}",
        f"frames    {scene.registered_frames} with a pose and depth",
    ]
    lines += [
        f"file      {artifact.name:<22} {artifact.size_bytes / 1e6:8.2f} MB"
        for artifact in job.artifacts
    ]
    lines.append(f"look      {url}")
    reporter.result(
        "\n".join(lines),
        {
            "kind": job.kind,
            "scene": scene.name,
            "job": job.name,
            "url": url,
            "registered_frames": scene.registered_frames,
            "exports": [export.name for export in scene.exports],
            "completions": [completion.name for completion in scene.completions],
            "artifacts": [artifact.uri for artifact in job.artifacts],
        },
    )
