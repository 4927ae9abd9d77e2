"""What the store holds of a scene: the truth that the database only remembers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from epipar.common.v1 import artifact_pb2
from epipar.scene.v1 import scene_service_pb2 as pb
from epipar_gateway.ids import is_scene_id
from epipar_gateway.job_state import time_from_us
from epipar_kit.errors import EpiparError, NotFoundError
from epipar_kit.messages import artifact_to_message, stored_artifact_to_message
from epipar_kit.store import ArtifactStore

SCENES = "scenes"
MANIFEST = "scene.json"

_ASKED_AT_ONCE = 8  # of a bucket, each question is a request


@dataclass(frozen=True, slots=True)
class FoundScene:
    """A finished scene in the store."""

    id: str
    finished_us: int


class SceneFiles:
    """Reads scenes in a store; every method blocks."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def is_finished(self, scene_id: str) -> bool:
        """Tell whether the scene folder is complete."""
        return self._store.exists(f"{SCENES}/{scene_id}/{MANIFEST}")

    def exists(self, key: str) -> bool:
        """Tell whether there is something under a key."""
        return self._store.exists(key)

    def finished(self) -> Iterator[FoundScene]:
        """Yield all finished scenes whose names can be ids."""
        names = [name for name in self._store.folders(SCENES) if is_scene_id(name)]
        with ThreadPoolExecutor(_ASKED_AT_ONCE, "scenes") as threads:
            for scene in threads.map(self._found, names):
                if scene is not None:
                    yield scene

    def describe(self, scene_id: str, scene: pb.Scene) -> None:
        """Fill in what the files say: frames, artifacts, exports, completions, thumbnail."""
        uri = f"{SCENES}/{scene_id}"
        manifest = self._manifest(f"{uri}/{MANIFEST}")
        if manifest is None:
            return
        counts = manifest.get("counts", {})
        scene.registered_frames = int(counts.get("registered_frames", 0))
        scene.artifacts.extend(self._artifacts(uri, MANIFEST, "transforms.json"))
        scene.exports.extend(self._exports(uri))
        scene.completions.extend(self._completions(uri))
        for picture in self._artifacts("thumbnails", f"{scene_id}.jpg"):
            scene.thumbnail.CopyFrom(picture)

    def _found(self, scene_id: str) -> FoundScene | None:
        try:
            modified_us = self._store.modified_us(f"{SCENES}/{scene_id}/{MANIFEST}")
        except NotFoundError:
            return None
        return FoundScene(scene_id, modified_us)

    def _exports(self, scene_uri: str) -> Iterator[pb.Export]:
        for name in self._store.folders(f"{scene_uri}/exports"):
            uri = f"{scene_uri}/exports/{name}"
            manifest = self._manifest(f"{uri}/export.json")
            if manifest is None:
                continue
            listed = [artifact_to_message(values, uri) for values in manifest.get("artifacts", [])]
            yield pb.Export(
                name=name,
                artifacts=[*listed, *self._artifacts(uri, "export.json")],
                create_time=time_from_us(self._created_us(manifest, f"{uri}/export.json")),
            )

    def _completions(self, scene_uri: str) -> Iterator[pb.Completion]:
        for name in self._store.folders(f"{scene_uri}/completions"):
            uri = f"{scene_uri}/completions/{name}"
            manifest = self._manifest(f"{uri}/completion.json")
            if manifest is None:
                continue
            engine = manifest.get("engine", "")
            yield pb.Completion(
                name=name,
                engine=str(engine.get("name", "") if isinstance(engine, dict) else engine),
                artifacts=self._artifacts(uri, "completion.json", MANIFEST, "transforms.json"),
                exports=self._exports(uri),
                create_time=time_from_us(self._created_us(manifest, f"{uri}/completion.json")),
            )

    def _artifacts(self, uri: str, *names: str) -> list[artifact_pb2.Artifact]:
        found = []
        for name in names:
            try:
                found.append(stored_artifact_to_message(self._store.stat(f"{uri}/{name}")))
            except NotFoundError:
                continue
        return found

    def _manifest(self, key: str) -> dict[str, Any] | None:
        """Read a manifest; None where it is missing or broken: then the output is not finished."""
        try:
            manifest = json.loads(self._store.read(key))
        except (EpiparError, ValueError, OSError):
            return None
        return manifest if isinstance(manifest, dict) else None

    def _created_us(self, manifest: dict[str, Any], key: str) -> int:
        try:
            return int(datetime.fromisoformat(str(manifest["created"])).timestamp() * 1e6)
        except (KeyError, ValueError):
            return self._store.modified_us(key)
