"""Getting local files to a running suite: a video as it is, a folder of images as a zip."""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

import asyncio
import contextlib
import tempfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

from epipar_cli.output import Reporter
from epipar_cli.upload_memory import UploadMemory
from epipar_client import EpiparClient, InvalidInputError, Progress, Upload

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
MAX_IMAGES = 10_000
"""The suite unpacks no more."""


async def send_input(client: EpiparClient, source: Path, reporter: Reporter) -> Upload:
    """Upload a file, or a folder's images; a file goes on where an earlier run was stopped.

    Raises:
        InvalidInputError: the folder has no images, or too many.
        EpiparError: the upload failed.
    """
    if source.is_dir():
        async with _zipped(source, reporter) as archive:
            return await client.upload(
                archive, reporter.progress, display_name=source.resolve().name
            )
    memory = UploadMemory(client.base_url, source)
    upload = await client.upload(
        source,
        reporter.progress,
        display_name=source.stem,
        resume=memory.recall(),
        on_started=memory.remember,
    )
    memory.forget()
    return upload


def images_of(folder: Path) -> list[Path]:
    """Return the images of a folder, by name.

    Raises:
        InvalidInputError: there are none, or too many.
    """
    images = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    )
    if not 1 <= len(images) <= MAX_IMAGES:
        raise InvalidInputError(
            f"{str(folder)!r} has {len(images)} images ({', '.join(sorted(IMAGE_SUFFIXES))}); "
            f"it must have 1 to {MAX_IMAGES}",
            reason="TOO_MANY_FRAMES" if images else "UNREADABLE_IMAGE",
            field="input",
        )
    return images


@contextlib.asynccontextmanager
async def _zipped(folder: Path, reporter: Reporter) -> AsyncIterator[Path]:
    """Pack a folder's images, as they are, for as long as the context lasts."""
    images = images_of(folder)
    with tempfile.TemporaryDirectory(prefix="epipar-") as place:
        archive = Path(place) / f"{folder.resolve().name}.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
            for done, image in enumerate(images, 1):
                await asyncio.to_thread(packed.write, image, image.name)
                reporter.progress(Progress("packing", done, len(images), "images", image.name))
        yield archive
