"""What the engine does with a fitted calibration, where there is one for the model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
    from epipar_depth.calibration import load

    return Calibration(hashlib.sha256(path.read_bytes()).hexdigest(), load(path).apply)
