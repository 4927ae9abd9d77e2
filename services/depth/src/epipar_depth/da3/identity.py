"""What a scene of the engine "da3" depends on beside the input and the request's options.

All of it goes into the content hash and stands in scene.json. What a device adds (its rounding,
the best of its dtypes where none is asked for, chunks halved for want of memory) does not: a
repeated request finds its scene wherever it is answered. scene.json tells the device and the
halvings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.da3.confidence import Calibration
from epipar_depth.da3.registry import ModelSpec
from epipar_depth.da3.weights import Pin
from epipar_depth.engine import DepthOptions, KnownCamera

VERSION = "1.1.0"

JOIN = JoinSettings(least_chunk_frames=2)
"""How chunks are joined; size and seed are those of a request."""


def join_settings(join: JoinSettings, options: DepthOptions) -> JoinSettings:
    """Return how the chunks of a request are joined."""
    return replace(join, chunk_frames=max(2, options.da3.chunk_frames), seed=options.seed)


def identity(
    spec: ModelSpec,
    pin: Pin,
    model_code: str,
    join: JoinSettings,
    calibration: Calibration | None,
    cameras: Sequence[KnownCamera],
) -> dict[str, Any]:
    """Return it as JSON values.

    Args:
        spec: the model.
        pin: its weights.
        model_code: package and version of the code that runs it.
        join: as join_settings gives it.
        calibration: of its confidence.
        cameras: that are known.
    """
    return {
        "model_code": model_code,
        "architecture": architecture_identity(spec.architecture),
        "abilities": {name: getattr(spec, name) for name in ("views", "poses", "metric", "sky")},
        "weights_revision": pin.revision,
        "weights_sha256": pin.sha256,
        "join": asdict(join),
        **({"calibration": calibration.identity} if calibration else {}),
        **({"cameras": [camera.to_json() for camera in cameras]} if cameras else {}),
    }


def architecture_identity(architecture: str) -> str:
    """Return the name of a published architecture, the SHA-256 of a file of one's own."""
    path = Path(architecture)
    if not path.is_file():
        return architecture
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
