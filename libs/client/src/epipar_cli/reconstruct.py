"""`epipar reconstruct`: a video or photos become a scene folder."""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from epipar_cli.connect import own_service, remote_client
from epipar_cli.local_store import staged_input
from epipar_cli.output import Reporter
from epipar_cli.services import DEPTH
from epipar_client import (
    DepthOptions,
    InlineImage,
    InvalidInputError,
    NotFoundError,
    SceneResult,
)
from epipar_client.options import MAX_INLINE_BYTES, MAX_INLINE_IMAGES

_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """Reconstruct as the command line says and report the result.

    Raises:
        EpiparError: it failed.
    """
    options = DepthOptions(
        max_frames=arguments.max_frames, max_side_px=arguments.max_side, seed=arguments.seed
    )
    if arguments.address:
        result = await _by_a_running_service(arguments, options, reporter)
        report(result, result.scene_uri, reporter)
        return
    scene = Path(arguments.output).resolve()
    result = await reconstruct_locally(
        Path(arguments.input), scene, arguments.engine, options, reporter
    )
    report(result, str(scene), reporter)


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


async def _by_a_running_service(
    arguments: Namespace, options: DepthOptions, reporter: Reporter
) -> SceneResult:
    local = Path(arguments.input)
    async with remote_client(arguments) as client:
        return await client.reconstruct(
            inline_images_of(local) if local.exists() else arguments.input,
            arguments.output,
            engine=arguments.engine,
            options=options,
            on_progress=reporter.progress,
            timeout_s=arguments.timeout,
        )


def inline_images_of(path: Path) -> tuple[InlineImage, ...]:
    """Read a local image, or a small folder of images, to be sent inside a request.

    Raises:
        InvalidInputError: it is no image, or too much to be sent.
    """
    candidates = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [file for file in candidates if file.suffix.lower() in _IMAGE_SUFFIXES]
    way_out = (
        "put it into the service's store and give its key, or leave --address out to work on "
        "this machine"
    )
    if not files:
        what = "folder without images" if path.is_dir() else "local file that is no image"
        raise InvalidInputError(
            f"{str(path)!r} is a {what}; with --address only images are sent: {way_out}",
            reason="UNREADABLE_IMAGE",
            field="input_uri",
        )
    size = sum(file.stat().st_size for file in files)
    if len(files) > MAX_INLINE_IMAGES or size > MAX_INLINE_BYTES:
        raise InvalidInputError(
            f"{str(path)!r} has {len(files)} images with {size / 2**20:.1f} MiB; at most "
            f"{MAX_INLINE_IMAGES} with {MAX_INLINE_BYTES // 2**20} MiB are sent: {way_out}",
            reason="INPUT_TOO_LARGE",
            field="inline_images",
        )
    return tuple(InlineImage.from_file(file) for file in files)


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
