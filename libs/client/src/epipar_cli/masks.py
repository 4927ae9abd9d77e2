"""`epipar masks`: what a scene lacks, as two PNGs a frame."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from epipar_cli.connect import own_service, remote_client
from epipar_cli.output import Reporter
from epipar_cli.regions import mask_options_of, sent_masks, staged_masks
from epipar_cli.remote import scene_name_of
from epipar_cli.services import INPAINT
from epipar_client import MaskResult, NotFoundError


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """Make a mask set as the command line says and report it.

    Raises:
        EpiparError: it failed.
    """
    if arguments.address:
        async with remote_client(arguments) as client:
            masks_uri = await sent_masks(arguments, client, reporter)
            result = await client.mask_incomplete(
                scene_name_of(arguments.scene),
                arguments.name,
                options=mask_options_of(arguments, masks_uri),
                on_progress=reporter.progress,
                timeout_s=arguments.timeout,
            )
        report(result, result.mask_set_uri, reporter)
        return
    scene = scene_folder_of(arguments.scene)
    async with (
        staged_masks(arguments, scene, reporter) as masks_uri,
        own_service(INPAINT, scene.parent) as client,
    ):
        result = await client.mask_incomplete(
            scene.name,
            arguments.name,
            options=mask_options_of(arguments, masks_uri),
            on_progress=reporter.progress,
        )
    report(result, str(scene.parent / result.mask_set_uri), reporter)


def scene_folder_of(text: str) -> Path:
    """Return the absolute path of a scene folder.

    Raises:
        NotFoundError: there is none.
    """
    scene = Path(text).resolve()
    if not scene.is_dir():
        raise NotFoundError(
            f"{text!r} is not a folder; with --address HOST:PORT it names a scene of that suite",
            reason="NOT_FOUND",
        )
    return scene


def report(result: MaskResult, where: str, reporter: Reporter) -> None:
    """Tell a person, or a program, how much is missing."""
    holes = sum(frame.depth_hole_share for frame in result.frames)
    seen = sum(frame.depth_hole_share * frame.seen_share for frame in result.frames)
    lines = [
        f"masks     {where}{'  (existed already)' if result.cached else ''}",
        f"frames    {len(result.frames)}",
        f"colour    {100 * result.color_hole_share:.1f} % of all pixels are missing",
        f"depth     {100 * result.depth_hole_share:.1f} % of all pixels are missing",
    ]
    if holes > 0:
        lines.append(f"seen      {100 * seen / holes:.1f} % of what is missing by another view")
    lines += [f"file      {artifact.name}" for artifact in result.artifacts]
    reporter.result("\n".join(lines), {"kind": "masks", "path": where, **asdict(result)})
