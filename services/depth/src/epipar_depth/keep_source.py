"""Keep the upload with its scene: a copy in the scene's folder ``source``."""

from __future__ import annotations

import shutil
from pathlib import Path

from epipar_depth.photos import SUFFIXES
from epipar_kit.errors import typed_storage_errors
from epipar_kit.events import Report
from epipar_scene.atomic import atomic_file, remove_stale_temporaries

FOLDER = "source"


def keep_source(source: Path, scene: Path, report: Report) -> None:
    """Copy a video, or the images of a folder, into the scene; what is there already stays.

    A copy, not a link: a finished scene must not change with the file that it was made from.

    Args:
        source: a file, or a folder, of which only the images at its top are copied.
        scene: the scene folder being made.
        report: told the progress, stage "keep".

    Raises:
        StorageFullError: DISK_FULL.
    """
    folder = scene / FOLDER
    if source == folder:  # inline images are laid down there
        return
    files = _images(source) if source.is_dir() else [source] if source.is_file() else []
    with typed_storage_errors():
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale_temporaries(folder)
        for done, file in enumerate(files):
            report("keep", done, len(files), "files", file.name)
            if not (folder / file.name).exists():
                with file.open("rb") as original, atomic_file(folder / file.name) as copy:
                    shutil.copyfileobj(original, copy, 1 << 20)


def _images(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
