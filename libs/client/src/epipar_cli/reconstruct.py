"""`epipar reconstruct`: a video or photos become a scene folder."""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from epipar_cli.connect import own_service
from epipar_cli.exit_codes import UsageError
from epipar_cli.local_store import staged_input
from epipar_cli.output import Reporter
from epipar_cli.reconstruct_remotely import reconstruct_remotely
from epipar_cli.services import DEPTH
from epipar_client import (
    Da3Options,
    DepthOptions,
    InvalidInputError,
    NotFoundError,
    SceneResult,
)


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """Reconstruct as the command line says and report the result.

    Raises:
        EpiparError: it failed.
    """
    options = DepthOptions(
        max_frames=arguments.max_frames,
        max_side_px=arguments.max_side,
        seed=arguments.seed,
        da3=da3_options(arguments),
    )
    if arguments.address:
        await reconstruct_remotely(arguments, options, reporter)
        return
    if not arguments.output:
        raise UsageError(
            "without --address, -o SCENE_DIR says where the scene goes", reason="BAD_REQUEST"
        )
    scene = Path(arguments.output).resolve()
    result = await reconstruct_locally(
        Path(arguments.input), scene, arguments.engine, options, reporter
    )
    report(result, str(scene), reporter)


def da3_options(arguments: Namespace) -> Da3Options | None:
    """Return what the command line says for the engine "da3"; None where it says nothing.

    Raises:
        UsageError: it says something, but the engine is another.
    """
    options = Da3Options(
        model=arguments.model,
        chunk_frames=arguments.chunk_frames,
        dtype=arguments.dtype,
        accept_licence=arguments.accept_licence,
        process_side_px=arguments.process_side,
    )
    if options == Da3Options():
        return None
    if arguments.engine != "da3":
        raise UsageError(
            "--model, --accept-licence, --chunk-frames, --dtype and --process-side are of the "
            "engine da3; add --engine da3",
            reason="BAD_OPTION",
        )
    return options


async def reconstruct_locally(
    source: Path, scene: Path, engine: str | None, options: DepthOptions, reporter: Reporter
) -> SceneResult:
    """Reconstruct with a service of this command's own; the store is the scene's parent folder.

    Raises:
        EpiparError: it failed.
    """
    if not source.exists():
        raise NotFoundError(f"{str(source)!r} does not exist", reason="NOT_FOUND")
    if scene == scene.parent:
        raise InvalidInputError(f"{str(scene)!r} cannot be a scene folder", reason="BAD_URI")
    scene.parent.mkdir(parents=True, exist_ok=True)
    async with (
        staged_input(source, scene.parent, scene.name, reporter.progress) as key,
        own_service(DEPTH, scene.parent) as client,
    ):
        return await client.reconstruct(
            key, scene.name, engine=engine, options=options, on_progress=reporter.progress
        )


def report(result: SceneResult, where: str, reporter: Reporter) -> None:
    """Tell a person, or a program, what the scene has."""
    seconds = sum(result.stage_seconds.values())
    lines = [
        f"scene     {where}{'  (existed already)' if result.cached else ''}",
        f"frames    {result.registered_frames} of {result.selected_frames} have a pose and depth",
        f"coverage  {100 * result.coverage:.1f} % of all pixels have depth",
    ]
    if result.reprojection_error_px > 0:
        lines.append(f"poses     reprojection error {result.reprojection_error_px:.2f} px")
    if result.unregistered_frames:
        lines.append(f"without   {', '.join(result.unregistered_frames[:20])}")
    if seconds:
        lines.append(f"time      {seconds:.1f} s")
    reporter.result("\n".join(lines), {"kind": "scene", "path": where, **asdict(result)})
