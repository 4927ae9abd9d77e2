"""The unfinished work of one scene: chosen frames, poses and matched depth, beside the scene.

Every file appears whole (written, then renamed), so whatever is there is finished and a killed run
goes on from it. The folder is removed when the scene is finished.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from epipar_depth.match import Matched
from epipar_depth.reconstruction import Reconstruction
from epipar_kit.errors import CorruptArtifactError
from epipar_scene.arrays import F32, I64, U8, Bools
from epipar_scene.atomic import atomic_file

_UNIQUENESS_SCALE = 100.0  # uniqueness 1.00 .. 3.55 in a byte
_EVIDENCE_SCALE = 255.0


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen frames, as selection.json keeps them.

    Attributes:
        input_frames: frames decoded from the source.
        keys: source frame (index, or file name) of each chosen frame.
        is_video: the source is a video.
    """

    input_frames: int
    keys: tuple[int | str, ...]
    is_video: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """What a view keeps of its matched depth by itself, before others are asked; all (H, W).

    Attributes:
        depth: of every pixel, kept or not; 0 = unknown.
        confidence: uint8 probability of each, in 255ths.
        keep: which are kept.
        open: which may be kept at all: measured, and looked through by few.
        tolerance: relative difference up to which depths of the frame agree.
        noise: median difference of depths that agree.
    """

    depth: F32
    confidence: U8
    keep: Bools
    open: Bools
    tolerance: float
    noise: float

    @property
    def told(self) -> F32:
        """(H, W) what others are told: the depth that is kept, else 0."""
        return np.where(self.keep, self.depth, np.float32(0))


@dataclass(frozen=True, slots=True)
class Fused:
    """What all views together know of a view; all (H, W).

    Attributes:
        depth: of every pixel that may be accepted, else 0.
        confidence: uint8 probability that it is right, in 255ths; 0 exactly where depth is.
    """

    depth: F32
    confidence: U8

    @property
    def counts(self) -> I64:
        """(256,) how many pixels have each confidence; none has 0."""
        counts = np.bincount(self.confidence.ravel(), minlength=256)
        counts[0] = 0
        return counts


class WorkFolder:
    """Paths and formats of the unfinished work in ``<scene>/.mvs``."""

    def __init__(self, scene: Path) -> None:
        self.scene = scene
        self.root = scene / ".mvs"
        self.frames = self.root / "frames"
        self.matched = self.root / "matched"
        self.kept = self.root / "kept"
        self.fused = self.root / "fused"
        self.sfm = self.root / "sfm"
        self.reconstruction = self.root / "reconstruction"

    def name(self, index: int) -> str:
        """Return the scene's name of a chosen frame; they count from 1."""
        return f"frame_{index + 1:05d}"

    def claim(self, content_hash: str) -> None:
        """Keep the folder's work if it is of this hash, else begin anew."""
        mark = self.root / "content_hash"
        if self.root.exists() and not (mark.exists() and mark.read_text() == content_hash):
            shutil.rmtree(self.root)
        self.root.mkdir(parents=True, exist_ok=True)
        _write_bytes(mark, content_hash.encode())

    def frame_path(self, index: int) -> Path:
        """Return where a chosen frame lies, as it came from the source but scaled."""
        return self.frames / f"{index:05d}.png"

    def save_frame(self, index: int, bgr: U8) -> None:
        """Write one chosen frame, lossless."""
        self.frames.mkdir(parents=True, exist_ok=True)
        done, data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        if not done:
            raise ValueError(f"frame {index} of shape {bgr.shape} cannot be encoded")
        _write_bytes(self.frame_path(index), data.tobytes())

    def read_frame(self, index: int) -> U8:
        """Read one chosen frame, (H, W, 3) BGR."""
        path = self.frame_path(index)
        image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise CorruptArtifactError("CORRUPT_ARTIFACT", f"{path.name} of the work is damaged")
        return np.asarray(image, np.uint8)

    def save_selection(self, selection: Selection) -> None:
        """Write which frames were chosen; says that all of them are written."""
        self.write_json("selection", asdict(selection))

    def load_selection(self) -> Selection | None:
        """Read which frames were chosen; None before they are all written."""
        stored = self.read_json("selection")
        return None if stored is None else Selection(**{**stored, "keys": tuple(stored["keys"])})

    def load_reconstruction(self) -> Reconstruction:
        """Read the poses."""
        return Reconstruction.load(self.reconstruction)

    def matched_path(self, position: int) -> Path:
        """Return where the matched depth of a registered frame lies."""
        return self.matched / f"{position:05d}.npz"

    def save_matched(self, position: int, matched: Matched) -> None:
        """Write what matching found of a registered frame."""
        self.matched.mkdir(parents=True, exist_ok=True)
        ratio = np.clip((matched.uniqueness - 1) * _UNIQUENESS_SCALE, 0, 255)
        evidence = np.clip(matched.evidence, 0, 1) * _EVIDENCE_SCALE
        with atomic_file(self.matched_path(position)) as stream:
            np.savez(
                stream,
                depth=matched.depth,
                cost=matched.cost,
                uniqueness=ratio.astype(np.uint8),
                evidence=evidence.astype(np.uint8),
            )

    def load_matched(self, position: int) -> Matched:
        """Read what save_matched wrote."""
        with np.load(self.matched_path(position), allow_pickle=False) as stored:
            ratio = 1 + stored["uniqueness"].astype(np.float32) / np.float32(_UNIQUENESS_SCALE)
            evidence = stored["evidence"].astype(np.float32) / np.float32(_EVIDENCE_SCALE)
            return Matched(stored["depth"], stored["cost"], ratio, evidence)

    def kept_path(self, position: int) -> Path:
        """Return where what a registered frame keeps lies."""
        return self.kept / f"{position:05d}.npz"

    def save_kept(self, position: int, kept: Kept) -> None:
        """Write what a registered frame keeps by itself."""
        self.kept.mkdir(parents=True, exist_ok=True)
        with atomic_file(self.kept_path(position)) as stream:
            np.savez(
                stream,
                depth=kept.depth,
                confidence=kept.confidence,
                flags=kept.keep + 2 * kept.open.astype(np.uint8),
                judged=np.array([kept.tolerance, kept.noise]),
            )

    def load_kept(self, position: int) -> Kept:
        """Read what save_kept wrote."""
        with np.load(self.kept_path(position), allow_pickle=False) as stored:
            flags = stored["flags"]
            tolerance, noise = stored["judged"].tolist()
            keep, is_open = (flags & 1).astype(bool), (flags & 2).astype(bool)
            return Kept(stored["depth"], stored["confidence"], keep, is_open, tolerance, noise)

    def fused_path(self, position: int) -> Path:
        """Return where what all views say of a registered frame lies."""
        return self.fused / f"{position:05d}.npz"

    def save_fused(self, position: int, fused: Fused) -> None:
        """Write what all views say of a registered frame."""
        self.fused.mkdir(parents=True, exist_ok=True)
        with atomic_file(self.fused_path(position)) as stream:
            np.savez(stream, depth=fused.depth, confidence=fused.confidence, counts=fused.counts)

    def load_fused(self, position: int) -> Fused:
        """Read what save_fused wrote."""
        with np.load(self.fused_path(position), allow_pickle=False) as stored:
            return Fused(stored["depth"], stored["confidence"])

    def load_counts(self, position: int) -> I64:
        """Read the counts of what save_fused wrote, and nothing else."""
        with np.load(self.fused_path(position), allow_pickle=False) as stored:
            return np.asarray(stored["counts"], np.int64)

    def write_json(self, name: str, value: dict[str, Any]) -> None:
        """Write one small JSON object."""
        _write_bytes(self.root / f"{name}.json", json.dumps(value).encode())

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Read one small JSON object; None where it is not there."""
        path = self.root / f"{name}.json"
        return dict(json.loads(path.read_bytes())) if path.exists() else None

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.root, ignore_errors=True)


def _write_bytes(path: Path, data: bytes) -> None:
    with atomic_file(path) as stream:
        stream.write(data)
