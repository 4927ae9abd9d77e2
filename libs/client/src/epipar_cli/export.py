"""`epipar export`: a scene folder becomes files that browsers and other programs read."""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from dataclasses import asdict
from pathlib import Path

from epipar_cli.connect import own_service, remote_client
from epipar_cli.local_store import common_root, key_of
from epipar_cli.output import Reporter
from epipar_cli.remote import follow_job, report_scene, report_started, scene_name_of
from epipar_cli.services import EXPORT
from epipar_client import (
    ExportOptions,
    ExportResult,
    InvalidInputError,
    NotFoundError,
    OutlierRemoval,
    SurfaceOptions,
)

DROP_PRESETS: dict[str, tuple[float, float, float]] = {
    "none": (0.0, 0.0, 0.0),
    "standard": (20.0, 10.0, 3.0),
}


def drop_percent(text: str) -> tuple[float, float, float]:
    """Read `--drop`: the name of a preset, or three percentages as in "20,10,3"."""
    if text in DROP_PRESETS:
        return DROP_PRESETS[text]
    try:
        preview, medium, full = (float(part) for part in text.split(","))
    except ValueError:
        raise ArgumentTypeError(
            f"{text!r} is neither a preset ({', '.join(DROP_PRESETS)}) nor three percentages "
            'such as "20,10,3"'
        ) from None
    return preview, medium, full


def options_of(arguments: Namespace) -> ExportOptions:
    """Read the options of an export from the command line; what is not said is None."""
    return ExportOptions(
        codec=arguments.codec,
        position_bits=arguments.bits,
        preview_points=arguments.preview_points,
        medium_points=arguments.medium_points,
        full_points=arguments.full_points,
        drop_percent=arguments.drop,
        outlier_removal=OutlierRemoval() if arguments.remove_outliers else None,
        glb=False if arguments.no_glb else None,
        tiles=False if arguments.no_tiles else None,
        ply=False if arguments.no_ply else None,
        meshopt_extension=arguments.meshopt_extension,
        precompress=tuple(arguments.precompress or ()),
        min_confidence=arguments.min_confidence,
        geometry=arguments.geometry,
        surface=_surface_options_of(arguments),
    )


def _surface_options_of(arguments: Namespace) -> SurfaceOptions | None:
    options = SurfaceOptions(
        voxel_size=arguments.voxel,
        preview_triangles=arguments.preview_triangles,
        medium_triangles=arguments.medium_triangles,
        memory_mib=arguments.surface_memory,
    )
    if options == SurfaceOptions():
        return None
    if arguments.geometry is None:
        raise InvalidInputError(
            "settings of a surface are given, but no surface is asked for; add --surface or "
            "--surface-only",
            reason="BAD_OPTION",
            field="options.surface",
        )
    return options


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """Export as the command line says and report the result.

    Raises:
        EpiparError: it failed.
    """
    options = options_of(arguments)
    if arguments.address:
        async with remote_client(arguments) as client:
            job = await client.start_export(
                scene_name_of(arguments.scene),
                completion=arguments.completion,
                export_name=arguments.output,
                options=options,
            )
            if arguments.no_wait:
                report_started(client, job, arguments, reporter)
            else:
                await report_scene(
                    client, await follow_job(client, job, arguments, reporter), reporter
                )
        return
    scene = Path(arguments.scene).resolve()
    if arguments.completion:
        scene = scene / "completions" / arguments.completion
    output = Path(arguments.output).resolve() if arguments.output else None
    result = await export_locally(scene, output, options, reporter)
    report(result, str(output or scene / "exports" / "default"), reporter)


async def export_locally(
    scene: Path, output: Path | None, options: ExportOptions, reporter: Reporter
) -> ExportResult:
    """Export with a service of this command's own.

    The store is the scene's parent folder, or the deepest folder that holds both the scene and
    the output.

    Raises:
        EpiparError: it failed.
    """
    if not scene.is_dir():
        raise NotFoundError(f"{str(scene)!r} is not a folder", reason="NOT_FOUND")
    root = scene.parent if output is None else common_root(scene, output)
    output_key = None if output is None else key_of(output, root)
    async with own_service(EXPORT, root) as client:
        return await client.export(
            key_of(scene, root), output_key, options=options, on_progress=reporter.progress
        )


def report(result: ExportResult, where: str, reporter: Reporter) -> None:
    """Tell a person, or a program, which files there are."""
    lines = [f"export    {where}{'  (existed already)' if result.cached else ''}"]
    lines += [
        f"{level.name:<8}  {level.points:>10,} points  {level.size_bytes / 1e6:8.2f} MB"
        for level in result.levels
    ]
    lines += [
        f"{level.name:<8}  {level.triangles:>10,} triangles {level.size_bytes / 1e6:6.2f} MB"
        for level in result.surface_levels
    ]
    lines += [
        f"file      {artifact.name:<22} {artifact.size_bytes / 1e6:8.2f} MB"
        for artifact in result.artifacts
    ]
    lines += [f"note      {note}" for note in result.notes]
    reporter.result("\n".join(lines), {"kind": "export", "path": where, **asdict(result)})
