"""Fetching a whole scene folder from a running suite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from epipar_cli.output import Reporter
from epipar_client import (
    AlreadyExistsError,
    Artifact,
    CorruptArtifactError,
    EpiparClient,
    Progress,
    Scene,
)

_FRAME_FILES = ("file_path", "depth_file_path", "confidence_file_path", "mask_path")
_LAST = "scene.json"
"""What makes a folder a scene is fetched last: half a scene is none."""


async def download_scene(
    client: EpiparClient, scene: Scene, folder: Path, reporter: Reporter
) -> Path:
    """Fetch scene.json, transforms.json, all frames and all exports; what is here stays.

    Args:
        client: of the suite.
        scene: a finished scene.
        folder: where the scene folder is made, under its name.
        reporter: told how many files are here.

    Returns:
        The scene folder.

    Raises:
        AlreadyExistsError: a finished scene of that name is there.
        EpiparError: a file cannot be fetched.
    """
    target = folder / scene.name.rpartition("/")[2]
    if (target / _LAST).exists():
        raise AlreadyExistsError(
            f"{str(target)!r} is a scene already; choose another folder", reason="OUTPUT_EXISTS"
        )
    target.mkdir(parents=True, exist_ok=True)
    fetcher = _Fetcher(client, scene.name, target, reporter)
    by_name = {artifact.name: artifact for artifact in scene.artifacts}
    await fetcher.fetch([by_name["transforms.json"]])
    transforms = json.loads((target / "transforms.json").read_text())
    await fetcher.fetch([f"{scene.name}/{path}" for path in frame_files_of(transforms)])
    for export in scene.exports:
        await fetcher.fetch(export.artifacts)
        for artifact in export.artifacts:
            if artifact.name == "tileset.json":
                folder_key = artifact.uri.rpartition("/")[0]
                tileset = json.loads(fetcher.path_of(artifact.uri).read_text())
                await fetcher.fetch([f"{folder_key}/{path}" for path in tile_files_of(tileset)])
    await fetcher.fetch([by_name[_LAST]])
    return target


def frame_files_of(transforms: dict[str, Any]) -> list[str]:
    """Return every file that the frames of a scene have, relative to its folder."""
    files = [
        frame[field] for frame in transforms["frames"] for field in _FRAME_FILES if field in frame
    ]
    sparse = transforms.get("ply_file_path")
    return [*files, sparse] if sparse else files


def tile_files_of(tileset: dict[str, Any]) -> list[str]:
    """Return every tile of a tileset, relative to its folder."""

    def walk(tile: dict[str, Any]) -> Iterator[str]:
        if content := tile.get("content"):
            yield content["uri"]
        for child in tile.get("children", ()):
            yield from walk(child)

    return list(walk(tileset["root"]))


class _Fetcher:
    """Fetches files of one scene into its folder, one after another, and counts them."""

    def __init__(self, client: EpiparClient, scene: str, target: Path, reporter: Reporter) -> None:
        self._client = client
        self._scene = scene
        self._target = target
        self._reporter = reporter
        self._done = 0

    def path_of(self, key: str) -> Path:
        """Return where a key's file goes; never outside of the folder.

        Raises:
            CorruptArtifactError: the key is not one of this scene's.
        """
        inside = PurePosixPath(key.removeprefix(f"{self._scene}/"))
        if not key.startswith(f"{self._scene}/") or inside.is_absolute() or ".." in inside.parts:
            raise CorruptArtifactError(
                f"{key!r} is no file of {self._scene}", reason="CORRUPT_ARTIFACT"
            )
        return self._target / inside

    async def fetch(self, files: list[Artifact] | list[str] | tuple[Artifact, ...]) -> None:
        total = self._done + len(files)
        for file in files:
            key = file if isinstance(file, str) else file.uri
            path = self.path_of(key)
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                await self._client.download(file, path)
            self._done += 1
            self._reporter.progress(Progress("downloading", self._done, total, "files", path.name))
