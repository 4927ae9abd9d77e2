"""What one export will make: its content hash, and the job that makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from epipar_export.exporter import ExportRequest
from epipar_export.job import request_to_dict
from epipar_export.manifest import FILE_NAME, export_hash
from epipar_export.options import ExportOptions
from epipar_export.read_scene import corrupt_artifacts
from epipar_kit.errors import InvalidInputError, NotReadyError
from epipar_kit.output import OutputPlan
from epipar_kit.store import ArtifactStore
from epipar_scene.folder import SceneFolder

BESIDE = ("completions", "exports", "source")
"""Folders of a scene that an export does not read."""


def plan_export(
    store: ArtifactStore, scene_uri: str, output_uri: str, options: ExportOptions, threads: int = 0
) -> OutputPlan:
    """Plan the export of a finished scene; `threads` is how many it may use, 0 for the cores.

    Raises:
        InvalidInputError: BAD_URI, a key is no relative path or both are the same.
        NotFoundError: NOT_FOUND, there is no such scene.
        NotReadyError: SCENE_INCOMPLETE, the folder has no scene.json.
        CorruptArtifactError: CORRUPT_ARTIFACT, its scene.json or transforms.json cannot be read.
    """
    scene_dir = store.local_path(scene_uri, field="scene_uri", without=BESIDE)
    if f"{scene_uri}/".startswith(f"{output_uri}/"):
        raise InvalidInputError(
            "BAD_URI", "output_uri", f"output_uri {output_uri!r} holds the scene; choose another"
        )
    if not (scene_dir / "scene.json").is_file():
        raise NotReadyError(
            "SCENE_INCOMPLETE",
            f"{scene_uri!r} has no scene.json: it is no scene, or not finished",
            subject=scene_uri,
        )
    with corrupt_artifacts():
        scene_hash = SceneFolder.open(scene_dir).info.content_hash

    def request(folder: Path) -> dict[str, Any]:
        return request_to_dict(ExportRequest(scene_dir, folder, options, threads))

    return OutputPlan(
        output_uri, FILE_NAME, export_hash(scene_hash, options), "epipar_export.job", request
    )
