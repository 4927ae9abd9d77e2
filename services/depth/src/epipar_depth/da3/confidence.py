"""What the engine does with a fitted calibration, where there is one for the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from epipar_depth.calibration import load
from epipar_kit.errors import CorruptArtifactError
from epipar_scene.arrays import F32


@dataclass(frozen=True, slots=True)
class Calibration:
    """A fitted calibration.

    Attributes:
        identity: SHA-256 of its file; the result depends on it.
        apply: makes P(relative error < 5 %) of a score, (H, W) each; 0 stays 0.
    """

    identity: str
    apply: Callable[[F32], F32]


def load_calibration(folder: Path | None, model: str) -> Calibration | None:
    """Load a model's calibration; None where there is none.

    Raises:
        CorruptArtifactError: CORRUPT_ARTIFACT, the file is no calibration.
    """
    path = folder / f"{model}.json" if folder else None
    if path is None or not path.is_file():
        return None
    curve = load(path)
    if (curve.engine, curve.model) != ("da3", model):
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT",
            f"{path} was fitted for {curve.engine} {curve.model!r}; it must be of da3 {model!r}",
            model=model,
        )
    return Calibration(hashlib.sha256(path.read_bytes()).hexdigest(), curve.apply)
