"""Between the dataclasses of the kit and the messages of epipar.common.v1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from epipar.common.v1 import artifact_pb2, progress_pb2
from epipar_kit.artifacts import Artifact
from epipar_kit.events import ProgressEvent


def progress_to_message(event: ProgressEvent) -> progress_pb2.Progress:
    """Return a progress event as the contract's Progress."""
    return progress_pb2.Progress(
        stage=event.stage,
        done=event.done,
        total=event.total,
        unit=event.unit,
        message=event.message,
    )


def artifact_to_message(values: Mapping[str, Any], folder_uri: str) -> artifact_pb2.Artifact:
    """Return an artifact as a manifest lists it; there its uri is relative to its folder.

    Args:
        values: name, uri, media_type, size_bytes, sha256 and, where it has one, lod_level.
        folder_uri: store key of the folder.
    """
    return artifact_pb2.Artifact(
        name=values["name"],
        uri=f"{folder_uri}/{values['uri']}",
        media_type=values["media_type"],
        size_bytes=values["size_bytes"],
        sha256=values["sha256"],
        lod_level=values.get("lod_level"),
    )


def stored_artifact_to_message(artifact: Artifact) -> artifact_pb2.Artifact:
    """Return a file of the store as the contract's Artifact."""
    return artifact_pb2.Artifact(
        name=artifact.name,
        uri=artifact.uri,
        media_type=artifact.media_type,
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
        lod_level=artifact.lod_level,
    )
