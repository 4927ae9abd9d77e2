"""From an engine's score to a probability: P(|depth - true| < 5 % of true), fitted on footage.

The curve is the best one that never falls (isotonic regression), so the order of pixels stays; it
is kept as a small JSON file that says which engine and model it is of and what it was fitted on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from epipar_kit.errors import CorruptArtifactError
from epipar_scene.arrays import F32, F64, I64, Bools
from epipar_scene.atomic import atomic_file

VERSION = 1
RIGHT_WITHIN = 0.05
"""Relative error below which a depth is right."""

_BINS = 4096  # of the score, 0..1
_LEAST_SHARE = 1 / 128  # of all pixels, in each knot of the curve
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """A curve from score to probability, straight between its knots and level beyond them.

    Attributes:
        engine: what made the scores, such as "da3".
        model: which of its models, such as "da3-base".
        scores: (K,) 0..1, increasing; K is 1 to 4096.
        probabilities: (K,) 0..1, never falling.
        provenance: what it was fitted on and how well it fits there, JSON values.

    Raises:
        ValueError: the numbers are not as above, or a name is empty.
    """

    engine: str
    model: str
    scores: F64
    probabilities: F64
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.engine and self.model):
            raise ValueError("engine and model are empty; they must be named")
        for name in ("scores", "probabilities"):
            values: F64 = np.array(getattr(self, name), np.float64)
            inside = values.ndim == 1 and 1 <= len(values) <= _BINS and np.isfinite(values).all()
            if not inside or values.min() < 0 or values.max() > 1:
                raise ValueError(f"{name} must be 1 to {_BINS} numbers of 0 to 1")
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if len(self.scores) != len(self.probabilities):
            raise ValueError(
                f"there are {len(self.scores)} scores and {len(self.probabilities)} probabilities"
            )
        if (np.diff(self.scores) <= 0).any() or (np.diff(self.probabilities) < 0).any():
            raise ValueError("scores must increase and probabilities must not fall")

    def apply(self, score: F32) -> F32:
        """Return the probability of each score, in any shape; 0, unknown, stays 0."""
        found = np.interp(score, self.scores, self.probabilities)
        # A known pixel stays known, however unsure.
        least = np.finfo(np.float32).tiny
        return np.where(score > 0, np.maximum(found, least), 0).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write the JSON file."""
        content = {
            "version": VERSION,
            "engine": self.engine,
            "model": self.model,
            "meaning": "PROBABILITY_5PCT",
            "scores": self.scores.tolist(),
            "probabilities": self.probabilities.tolist(),
            "provenance": dict(self.provenance),
        }
        with atomic_file(path) as stream:
            stream.write(json.dumps(content, indent=1).encode() + b"\n")


def load(path: Path) -> Calibration:
    """Read a calibration.

    Raises:
        CorruptArtifactError: CORRUPT_ARTIFACT, the file is no calibration, or of another version.
        OSError: there is no such file.
    """
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise _corrupt(path, f"has {size} bytes; at most {_MOST_BYTES} are read")
    try:
        value = json.loads(path.read_bytes())
        if value["version"] != VERSION or value["meaning"] != "PROBABILITY_5PCT":
            raise _corrupt(
                path,
                f"is version {value['version']!r} and means {value['meaning']!r}; "
                f"it must be {VERSION} and 'PROBABILITY_5PCT'",
            )
        return Calibration(
            str(value["engine"]),
            str(value["model"]),
            np.array(value["scores"], np.float64),
            np.array(value["probabilities"], np.float64),
            dict(value["provenance"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt(path, f"is no calibration: {error}") from None


class Tally:
    """Scores and whether they were right, counted; memory does not grow with the footage."""

    def __init__(self) -> None:
        self._counts: I64 = np.zeros(_BINS, np.int64)
        self._right: I64 = np.zeros(_BINS, np.int64)

    @property
    def count(self) -> int:
        """Pixels counted."""
        return int(self._counts.sum())

    @property
    def right_share(self) -> float:
        """Share of them that is right; 0 without pixels."""
        return float(self._right.sum() / max(self.count, 1))

    def add(self, score: F32, right: Bools) -> None:
        """Count pixels: (N,) scores of 0..1 and whether each depth is right."""
        if score.shape != right.shape:
            raise ValueError(f"scores have shape {score.shape}, what is right {right.shape}")
        places = np.clip((score.ravel() * _BINS).astype(np.int64), 0, _BINS - 1)
        self._counts += np.bincount(places, minlength=_BINS)
        self._right += np.bincount(places[right.ravel()], minlength=_BINS)

    def curve(self) -> tuple[F64, F64]:
        """Return scores and probabilities of the curve that never falls and fits best.

        Raises:
            ValueError: nothing was counted.

        Source: pool adjacent violators, R. E. Barlow et al., Statistical inference under order
            restrictions, 1972.
        """
        if not self.count:
            raise ValueError("there are no pixels to fit a calibration on")
        middles = (np.arange(_BINS) + 0.5) / _BINS
        blocks: list[tuple[float, float, float]] = []  # pixels, right ones, sum of scores
        for block in _gathered(self._counts, self._right, middles, self.count * _LEAST_SHARE):
            blocks.append(block)
            while len(blocks) > 1 and _rate(blocks[-2]) >= _rate(blocks[-1]):
                last, before = blocks.pop(), blocks.pop()
                blocks.append((before[0] + last[0], before[1] + last[1], before[2] + last[2]))
        scores = np.array([total / pixels for pixels, _, total in blocks])
        return scores, np.array([_rate(block) for block in blocks])

    def error_of(self, calibration: Calibration | None) -> float:
        """Return the expected calibration error over ten bins; None: of the score as it is."""
        middles = ((np.arange(_BINS) + 0.5) / _BINS).astype(np.float32)
        said = middles if calibration is None else calibration.apply(middles)
        bins = np.clip((said * 10).astype(int), 0, 9)
        promised = np.bincount(bins, said * self._counts, 10)
        kept = np.bincount(bins, self._right, 10)
        return float(np.abs(promised - kept).sum() / max(self.count, 1))


def _gathered(
    counts: I64, right: I64, middles: F64, least: float
) -> list[tuple[float, float, float]]:
    """Return runs of bins with at least so many pixels each; a rest joins the last."""
    blocks: list[tuple[float, float, float]] = []
    pixels, good, total = 0.0, 0.0, 0.0
    for count, found, middle in zip(counts, right, middles, strict=True):
        pixels, good, total = pixels + count, good + found, total + count * middle
        if pixels >= least:
            blocks.append((pixels, good, total))
            pixels, good, total = 0.0, 0.0, 0.0
    if pixels and blocks:
        last = blocks.pop()
        blocks.append((last[0] + pixels, last[1] + good, last[2] + total))
    return blocks


def _rate(block: tuple[float, float, float]) -> float:
    """Return the share that is right, as if one more had been right and one wrong."""
    return (block[1] + 1) / (block[0] + 2)


def _corrupt(path: Path, what: str) -> CorruptArtifactError:
    return CorruptArtifactError("CORRUPT_ARTIFACT", f"{path.name} {what}")
