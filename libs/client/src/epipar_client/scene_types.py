"""Scenes, as the gateway keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from epipar_client.types import Artifact

SceneState: TypeAlias = Literal["unspecified", "empty", "reconstructing", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class SceneExport:
    """One finished export of a scene or of a completion."""

    name: str
    artifacts: tuple[Artifact, ...]
    create_time: datetime | None


@dataclass(frozen=True, slots=True)
class SceneCompletion:
    """One finished completion of a scene, with its own exports."""

    name: str
    engine: str
    artifacts: tuple[Artifact, ...]
    exports: tuple[SceneExport, ...]
    create_time: datetime | None


@dataclass(frozen=True, slots=True)
class Scene:
    """One place in space, made from one upload.

    Attributes:
        name: resource name, "scenes/{scene}"; also its store key.
        display_name: name for people.
        state: how far it is.
        create_time: when it was created.
        update_time: when it last changed.
        registered_frames: frames with a pose and depth; 0 before it is ready.
        exports: its exports.
        completions: its completions.
        thumbnail: a small picture, once there is one.
        artifacts: scene.json and transforms.json, once it is ready.
    """

    name: str
    display_name: str
    state: SceneState
    create_time: datetime | None
    update_time: datetime | None
    registered_frames: int
    exports: tuple[SceneExport, ...]
    completions: tuple[SceneCompletion, ...]
    thumbnail: Artifact | None
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was uploaded and sealed.

    Attributes:
        name: resource name, "uploads/{upload}".
        key: store key of the file.
        file_name: its name in the store.
        size_bytes: its size.
        sha256: its hash, 64 hex digits.
    """

    name: str
    key: str
    file_name: str
    size_bytes: int
    sha256: str
