"""The last-written file of an output, which holds the hash of what it was made from."""

from __future__ import annotations

import json
from typing import Any

from epipar_kit.errors import CorruptArtifactError
from epipar_kit.staging import output_exists


def manifest_from(data: bytes, uri: str) -> dict[str, Any]:
    """Parse a manifest.

    Raises:
        CorruptArtifactError: CORRUPT_ARTIFACT, it is not a JSON object.
    """
    try:
        manifest = json.loads(data)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict):
        raise CorruptArtifactError("CORRUPT_ARTIFACT", f"{uri!r} is not a JSON object", uri=uri)
    return manifest


def of_hash(
    manifest: dict[str, Any] | None, content_hash: str, output_uri: str
) -> dict[str, Any] | None:
    """Return the manifest of an output, None where there is none.

    Raises:
        AlreadyExistsError: OUTPUT_EXISTS, it has another hash.
    """
    if manifest is not None and manifest.get("content_hash") != content_hash:
        raise output_exists(output_uri)
    return manifest
