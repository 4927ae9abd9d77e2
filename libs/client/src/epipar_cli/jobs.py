"""`epipar jobs`: the jobs of a running suite."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from epipar_cli.connect import remote_client
from epipar_cli.output import Reporter, jsonable
from epipar_cli.remote import follow_job, job_name_of, page_of, report_scene, scene_name_of
from epipar_client import EpiparClient, Job


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """List, watch, cancel or retry jobs as the command line says.

    Raises:
        EpiparError: it failed; a watched job that fails is told as its own error.
    """
    async with remote_client(arguments) as client:
        match arguments.action:
            case "watch":
                job = await client.get_job(job_name_of(arguments.job))
                job = await follow_job(client, job, arguments, reporter)
                await report_scene(client, job, reporter)
            case "cancel":
                await _cancel(client, arguments.job, reporter)
            case "retry":
                job = await client.retry_job(job_name_of(arguments.job))
                job = await follow_job(client, job, arguments, reporter)
                await report_scene(client, job, reporter)
            case _:
                await _list(client, arguments, reporter)


async def _list(client: EpiparClient, arguments: Namespace, reporter: Reporter) -> None:
    scene = scene_name_of(arguments.scene) if arguments.scene else None
    found = client.list_jobs(scene=scene, states=arguments.state or ())
    jobs = [job async for job in found]
    width = max((len(job.name) for job in jobs), default=0)
    lines = [
        f"{job.name:<{width}}  {job.kind:<14} {job.state:<10} {_stage(job):<24} {job.scene}"
        for job in jobs
    ]
    facts = [{**asdict(job), "url": page_of(client, job.name)} for job in jobs]
    reporter.result("\n".join(lines) or "no jobs", jsonable({"kind": "jobs", "jobs": facts}))


async def _cancel(client: EpiparClient, names: list[str], reporter: Reporter) -> None:
    resolved = [job_name_of(name) for name in names]
    for name in resolved:
        await client.cancel_job(name)
    text = "\n".join(f"cancelled {name}" for name in resolved)
    reporter.result(text, {"kind": "cancelled", "jobs": resolved})


def _stage(job: Job) -> str:
    """Return what a job does now, or why it failed."""
    if job.failure is not None:
        return job.failure.reason
    step = next((step for step in job.steps if step.state == "running"), None)
    if step is None or step.progress is None:
        return ""
    share = step.progress.share
    return f"{step.progress.stage}{'' if share is None else f' {100 * share:.0f} %'}"
