"""`epipar reconstruct --address`: a running suite gets the input and makes the scene."""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

import contextlib
from argparse import Namespace
from pathlib import Path

from epipar_cli.connect import remote_client
from epipar_cli.download_scene import download_scene
from epipar_cli.output import Reporter
from epipar_cli.remote import follow_job, report_scene, report_started, scene_name_of
from epipar_cli.send import send_input
from epipar_client import (
    AlreadyExistsError,
    DepthOptions,
    EpiparClient,
    Job,
    NotFoundError,
)

UPLOADS = "uploads/"


async def reconstruct_remotely(
    arguments: Namespace, options: DepthOptions, reporter: Reporter
) -> None:
    """Upload, start, watch, report, fetch, as the command line says.

    Raises:
        EpiparError: it failed.
    """
    async with remote_client(arguments) as client:
        job = await start_reconstruction(
            client, arguments.input, arguments.output, arguments.engine, options, reporter
        )
        if arguments.no_wait:
            report_started(client, job, arguments, reporter)
            return
        job = await follow_job(client, job, arguments, reporter)
        if arguments.download:
            scene = await client.get_scene(job.scene)
            folder = await download_scene(client, scene, Path(arguments.download), reporter)
            reporter.event("downloaded", f"fetched {folder}", {"path": str(folder)})
        await report_scene(client, job, reporter)


async def start_reconstruction(
    client: EpiparClient,
    source: str,
    output: str | None,
    engine: str | None,
    options: DepthOptions,
    reporter: Reporter,
) -> Job:
    """Upload what is a local input, and queue its reconstruction.

    Args:
        client: of the suite.
        source: a video, a folder of images, or "uploads/{upload}" of what is there already.
        output: name of the scene; None lets the suite choose.
        engine: of the depth service.
        options: of the depth service.
        reporter: told how the upload goes on.

    Raises:
        NotFoundError: there is no such input.
        AlreadyExistsError: the scene exists and is not empty.
        EpiparError: it failed otherwise.
    """
    local = Path(source)
    if not local.exists() and not source.startswith(UPLOADS):
        raise NotFoundError(
            f"{source!r} does not exist here, and is no upload of the suite (uploads/...)",
            reason="NOT_FOUND",
        )
    scene = scene_name_of(output) if output else None
    if scene:  # told before, not after, a long upload
        await _check_vacant(client, scene)
    upload = (await send_input(client, local, reporter)).name if local.exists() else source
    if scene:
        display_name = local.stem if local.exists() else None
        with contextlib.suppress(AlreadyExistsError):
            await client.create_scene(scene.removeprefix("scenes/"), display_name=display_name)
    return await client.start_reconstruction(upload, scene=scene, engine=engine, depth=options)


async def _check_vacant(client: EpiparClient, scene: str) -> None:
    try:
        found = await client.get_scene(scene)
    except NotFoundError:
        return
    if found.state != "empty":
        raise AlreadyExistsError(
            f"{scene} exists and is {found.state}; choose another name with -o, or delete it: "
            f"epipar scenes delete {scene}",
            reason="OUTPUT_EXISTS",
            metadata={"scene": scene},
        )
