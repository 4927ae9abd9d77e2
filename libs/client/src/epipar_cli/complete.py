"""`epipar complete`: fill what the camera never saw, or take something away."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from epipar_cli.connect import own_service, remote_client
from epipar_cli.exit_codes import UsageError
from epipar_cli.export import export_locally
from epipar_cli.masks import scene_folder_of
from epipar_cli.nerfiller import nerfiller_options_of
from epipar_cli.output import Reporter
from epipar_cli.regions import check_regions, mask_options_of, sent_masks, staged_masks
from epipar_cli.remote import follow_job, report_scene, report_started, scene_name_of
from epipar_cli.services import INPAINT
from epipar_client import CompleteOptions, CompleteResult, ExportOptions, ExportResult

DEFAULT_NAME = "default"


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """Complete a scene as the command line says, export the completion and report it.

    Raises:
        EpiparError: it failed.
    """
    check_regions(arguments)
    options = CompleteOptions(
        seed=arguments.seed, painter=arguments.painter, nerfiller=nerfiller_options_of(arguments)
    )
    if arguments.address:
        await _complete_remotely(arguments, options, reporter)
        return
    scene = scene_folder_of(arguments.scene)
    key = f"{scene.name}/completions/{arguments.name or DEFAULT_NAME}"
    async with (
        staged_masks(arguments, scene, reporter) as masks_uri,
        own_service(INPAINT, scene.parent) as client,
    ):
        completed = await client.complete(
            scene.name,
            key,
            intent=arguments.intent,
            masks=arguments.mask_set or mask_options_of(arguments, masks_uri),
            engine=arguments.engine,
            options=options,
            on_progress=reporter.progress,
        )
    completion = scene.parent / key
    exported = await export_locally(completion, None, ExportOptions(), reporter)
    report(completed, exported, completion, reporter)


async def _complete_remotely(
    arguments: Namespace, options: CompleteOptions, reporter: Reporter
) -> None:
    if arguments.mask_set:
        raise UsageError(
            "a suite makes fresh masks for each completion; leave --mask-set out",
            reason="BAD_OPTION",
        )
    async with remote_client(arguments) as client:
        masks_uri = await sent_masks(arguments, client, reporter)
        job = await client.start_completion(
            scene_name_of(arguments.scene),
            intent=arguments.intent,
            completion_name=arguments.name,
            masks=mask_options_of(arguments, masks_uri),
            engine=arguments.engine,
            options=options,
        )
        if arguments.no_wait:
            report_started(client, job, arguments, reporter)
            return
        await report_scene(client, await follow_job(client, job, arguments, reporter), reporter)


def report(
    completed: CompleteResult, exported: ExportResult, completion: Path, reporter: Reporter
) -> None:
    """Tell a person, or a program, what was filled and from where."""
    pixels = sum(completed.filled.values())
    lines = [f"completed {completion}{'  (existed already)' if completed.cached else ''}"]
    if not pixels:
        lines.append("filled    nothing: nothing was missing")
    lines += [
        f"filled    {count:>10,} pixels {name} ({100 * count / pixels:.1f} %)"
        for name, count in completed.filled.items()
        if count
    ]
    lines += [
        f"{level.name:<8}  {level.points:>10,} points  {level.size_bytes / 1e6:8.2f} MB"
        for level in exported.levels
    ]
    lines.append(f"look      epipar view {completion}")
    reporter.result(
        "\n".join(lines),
        {
            "kind": "completion",
            "path": str(completion),
            "exports": str(completion / "exports" / "default"),
            **asdict(completed),
            "export": asdict(exported),
        },
    )
