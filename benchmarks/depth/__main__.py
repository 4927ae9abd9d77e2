"""Measure the engine "mvs" and OpenCV's SGBM on the sample and, where it is there, the office clip.

``python -m benchmarks.depth [--write]``: prints a table; --write puts it into results.md and the
pictures into pictures/. One worker, native code on one thread; CPU-seconds of all processes.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.depth.clips import Clip, clips
from benchmarks.depth.refuted import refuted
from benchmarks.depth.score import Score, Truth, score
from benchmarks.depth.sgbm import sgbm_depth
from epipar_depth.engine import DepthRequest
from epipar_depth.mvs import MvsEngine
from epipar_scene.arrays import F32, U8
from epipar_scene.content_hash import sha256_of_input
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame

HERE = Path(__file__).resolve().parent
HEAD = (
    "| clip | engine | frames | ATE % | coverage | AbsRel | δ1.03 | δ1.05 | gross | ECE "
    "| CPU-s a frame | CPU-s a frame at 640x480 |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def main() -> None:
    """Run both clips and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="keep the table and the pictures")
    write = parser.parse_args().write
    cv2.setNumThreads(1)
    rows, notes = [HEAD], []
    for clip in clips():
        more, note = _measure(clip, HERE / "pictures" if write else None)
        rows += more
        notes.append(note)
        print("\n".join([*rows, "", *notes]), flush=True)
    if write:
        text = "\n".join([*rows, "", *notes]) + "\n"
        (HERE / "results.md").write_text(text, encoding="utf-8")


def _measure(clip: Clip, pictures: Path | None) -> tuple[list[str], str]:
    truth, source = Truth(clip.truth_path), clip.video
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "scene"
        start_s = _cpu_s()
        MvsEngine().run(
            DepthRequest(source, output, sha256_of_input(source), workers=1), _Progress(clip.name)
        )
        mvs_s = _cpu_s() - start_s
        scene = SceneFolder.open(output)
        ours = score(scene, truth, lambda frame: (scene.depth(frame), scene.confidence(frame)))
        note = f"- {clip.name}: {refuted(scene, truth)}."
        if pictures is not None:
            _draw(scene, truth, pictures / f"{clip.name}.jpg")
        near, far = _range(scene)
        timed = _Peer(scene, near, far)
        theirs = score(scene, truth, timed.predict)
        pixels = scene.frames[0].shape[0] * scene.frames[0].shape[1]
    rows = [
        _row(clip.name, "mvs, poses included", ours, mvs_s / ours.frames, pixels),
        _row(clip.name, "SGBM, same poses", theirs, timed.cpu_s / timed.calls, pixels),
    ]
    return rows, note


class _Progress:
    """Prints each stage once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        if stage != self._stage:
            self._stage = stage
            print(f"{time.strftime('%H:%M:%S')} {self._name} {stage}", flush=True)


class _Peer:
    """Runs SGBM and counts its CPU-seconds."""

    def __init__(self, scene: SceneFolder, near: float, far: float) -> None:
        self._scene, self._near, self._far = scene, near, far
        self.cpu_s = 0.0
        self.calls = 0

    def predict(self, frame: Frame) -> tuple[F32, F32]:
        """Return depth and a confidence of one half, which SGBM does not have."""
        start_s = time.process_time()
        depth = sgbm_depth(self._scene, frame, self._near, self._far)
        self.cpu_s += time.process_time() - start_s
        self.calls += 1
        return depth, np.full_like(depth, 0.5)


def _row(clip: str, engine: str, value: Score, cpu_s: float, pixels: int) -> str:
    calibration = f"{value.calibration:.3f}" if engine.startswith("mvs") else "-"
    return (
        f"| {clip} | {engine} | {value.frames} | {value.ate_percent:.2f} | {value.coverage:.3f} "
        f"| {value.absrel:.4f} | {value.within_3:.3f} | {value.within_5:.3f} | {value.gross:.4f} "
        f"| {calibration} | {cpu_s:.2f} | {cpu_s * 640 * 480 / pixels:.2f} |"
    )


def _range(scene: SceneFolder) -> tuple[float, float]:
    depths = [scene.depth(frame)[::8, ::8] for frame in scene.frames]
    known = np.concatenate([depth[depth > 0] for depth in depths])
    low, high = np.percentile(known, [1, 99])
    return float(0.8 * low), float(1.3 * high)


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _draw(scene: SceneFolder, truth: Truth, path: Path) -> None:
    """Write picture, true depth, depth, confidence and error of three frames, side by side."""
    scale, _ = truth.scale_of(scene)
    known = [frame for frame in scene.frames if truth.depth(int(frame.source_frame)) is not None]
    rows = []
    for frame in (known[0], known[len(known) // 2], known[-1]):
        exact = truth.depth(int(frame.source_frame))
        if exact is None:
            continue
        depth = scene.depth(frame) * scale
        low, high = (float(v) for v in np.percentile(exact[exact > 0], [1, 99]))
        error = np.abs(depth - exact) / np.maximum(exact, 1e-3)
        rows.append(
            np.hstack(
                [
                    scene.image(frame)[:, :, ::-1],
                    _turbo(exact, low, high),
                    _turbo(depth, low, high),
                    _paint(scene.confidence(frame), cv2.COLORMAP_VIRIDIS, depth > 0),
                    _paint(error / 0.1, cv2.COLORMAP_INFERNO, (depth > 0) & (exact > 0)),
                ]
            )
        )
    sheet = cv2.resize(np.vstack(rows), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])


def _turbo(depth: F32, low: float, high: float) -> U8:
    inverse = 1 / np.maximum(depth, 1e-3)
    share = (inverse - 1 / high) / (1 / low - 1 / high)
    return _paint(np.asarray(share, np.float32), cv2.COLORMAP_TURBO, depth > 0)


def _paint(share: F32, colours: int, known: np.ndarray) -> U8:
    painted = cv2.applyColorMap(np.clip(255 * share, 0, 255).astype(np.uint8), colours)
    return np.asarray(np.where(known[:, :, None], painted, 64), np.uint8)


if __name__ == "__main__":
    main()
