"""What one export will make: its content hash, and the job that makes it."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from epipar_export.options import ExportOptions
from epipar_kit.errors import CorruptArtifactError, InvalidInputError, NotReadyError
from epipar_kit.output import OutputPlan
from epipar_kit.store import ArtifactStore
from epipar_scene.content_hash import content_hash
from epipar_scene.errors import SceneFormatError
from epipar_scene.folder import SceneFolder

MANIFEST = "export.json"


def plan_export(
    store: ArtifactStore, scene_uri: str, output_uri: str, options: ExportOptions
) -> OutputPlan:
    """Plan the export of a finished scene.

    Raises:
        InvalidInputError: BAD_URI, a key is no relative path or both are the same.
        NotFoundError: NOT_FOUND, there is no such scene.
        NotReadyError: SCENE_INCOMPLETE, the folder has no scene.json.
        CorruptArtifactError: CORRUPT_ARTIFACT, its scene.json or transforms.json cannot be read.
    """
    scene_dir = store.local_path(scene_uri, field="scene_uri")
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
    try:
        scene_hash = SceneFolder.open(scene_dir).info.content_hash
    except SceneFormatError as error:
        raise CorruptArtifactError("CORRUPT_ARTIFACT", str(error), uri=scene_uri) from error
    settings = {**options.to_dict(), "exporter": version("epipar-export")}
    digest = content_hash(scene_hash, settings)

    def request(folder: Path) -> dict[str, Any]:
        return {
            "scene_dir": str(scene_dir),
            "output_dir": str(folder),
            "content_hash": digest,
            "options": options.to_dict(),
        }

    return OutputPlan(output_uri, MANIFEST, digest, "epipar_export.job", request)
