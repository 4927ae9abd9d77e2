"""What `epipar masks` and `epipar complete` are told counts as missing."""

from __future__ import annotations

import contextlib
from argparse import ArgumentTypeError, Namespace
from collections.abc import AsyncIterator
from pathlib import Path

from epipar_cli.exit_codes import UsageError
from epipar_cli.local_store import staged_input
from epipar_cli.output import Reporter
from epipar_cli.send import send_input
from epipar_client import Box, EpiparClient, MaskOptions, NotFoundError, Sphere


def numbers(text: str, count: int, example: str) -> tuple[float, ...]:
    """Read so many numbers with commas between them."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count:
        raise ArgumentTypeError(f"{text!r} must be {count} numbers such as {example}")
    return values


def box(text: str) -> tuple[float, ...]:
    """Read `--box`: two opposite corners, "x0,y0,z0,x1,y1,z1"."""
    return numbers(text, 6, "-1,-1,2,1,1,3")


def sphere(text: str) -> tuple[float, ...]:
    """Read `--sphere`: centre and radius, "x,y,z,r"."""
    return numbers(text, 4, "0,0.5,2,0.4")


def mask_options_of(arguments: Namespace, user_masks_uri: str | None) -> MaskOptions:
    """Read what counts as missing from the command line; what is not said is None.

    Raises:
        InvalidInputError: a region has no volume.
    """
    boxes = [
        Box(
            (min(x0, x1), min(y0, y1), min(z0, z1)),
            (max(x0, x1), max(y0, y1), max(z0, z1)),
        )
        for x0, y0, z0, x1, y1, z1 in arguments.box or ()
    ]
    spheres = [Sphere((x, y, z), radius) for x, y, z, radius in arguments.sphere or ()]
    return MaskOptions(
        min_confidence=arguments.min_confidence,
        keep_sky=False if arguments.no_keep_sky else None,
        dilation_px=arguments.dilation,
        dilation_iterations=arguments.dilation_iterations,
        min_hole_share=arguments.min_hole_share,
        user_masks_uri=user_masks_uri,
        regions=(*boxes, *spheres),
        regions_only=True if arguments.regions_only else None,
    )


def check_regions(arguments: Namespace) -> None:
    """Refuse to take away nothing.

    Raises:
        UsageError: the intent is to remove, and nothing is named.
    """
    named = arguments.box or arguments.sphere or arguments.mask_dir
    if arguments.intent == "remove" and not named:
        raise UsageError(
            "--intent remove takes something away: name it with --box, --sphere or --mask-dir",
            reason="BAD_REQUEST",
        )


@contextlib.asynccontextmanager
async def staged_masks(
    arguments: Namespace, scene: Path, reporter: Reporter
) -> AsyncIterator[str | None]:
    """Make `--mask-dir` readable for the service of a scene's store; None without one.

    Raises:
        EpiparError: it is no folder, or cannot be put in place.
    """
    if not arguments.mask_dir:
        yield None
        return
    folder = _mask_folder(arguments)
    async with staged_input(folder, scene.parent, scene.name, reporter.progress) as key:
        yield key


async def sent_masks(arguments: Namespace, client: EpiparClient, reporter: Reporter) -> str | None:
    """Upload the PNGs of `--mask-dir`; return their store key, None without any.

    Raises:
        EpiparError: it is no folder, or the upload failed.
    """
    if not arguments.mask_dir:
        return None
    upload = await send_input(client, _mask_folder(arguments), reporter)
    return f"{upload.name}/images"  # where the suite unpacks a zip


def _mask_folder(arguments: Namespace) -> Path:
    folder = Path(arguments.mask_dir)
    if not folder.is_dir():
        raise NotFoundError(f"--mask-dir {str(folder)!r} is not a folder", reason="NOT_FOUND")
    return folder
