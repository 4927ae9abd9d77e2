"""Opening a finished scene folder with the errors that a caller can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epipar_kit.errors import CorruptArtifactError, NotFoundError, NotReadyError
from epipar_scene.errors import SceneFormatError
from epipar_scene.folder import SceneFolder


def open_scene(path: Path, name: str = "") -> SceneFolder:
    """Open a finished scene folder.

    Args:
        path: the folder.
        name: what to call it in messages; default: the folder's name.

    Raises:
        NotFoundError: NOT_FOUND, there is no such folder.
        NotReadyError: SCENE_INCOMPLETE, it has no scene.json.
        CorruptArtifactError: CORRUPT_ARTIFACT, a file is missing or is not what it must be.
    """
    name = name or path.name
    if not path.is_dir():
        raise NotFoundError("NOT_FOUND", f"there is no scene folder {name!r}", resource_name=name)
    if not (path / "scene.json").is_file():
        raise NotReadyError(
            "SCENE_INCOMPLETE",
            f"{name!r} has no scene.json: it is no scene, or not finished",
            subject=name,
        )
    with corrupt_artifacts():
        return SceneFolder.open(path)


@contextmanager
def corrupt_artifacts() -> Iterator[None]:
    """Turn a scene's format errors into CorruptArtifactError; files are named without the store's path.

    The last two parts of a path tell "confidence/frame_00002.png" from an image of that name.
    """
    try:
        yield
    except SceneFormatError as error:
        name = "/".join(Path(error.file).parts[-2:])
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT",
            f"{name}: {error.field} is {error.seen}; it must be {error.wanted}",
            file=name,
        ) from error
