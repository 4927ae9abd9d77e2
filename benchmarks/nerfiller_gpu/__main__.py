"""``python -m benchmarks.nerfiller_gpu``: see README.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from epipar_inpaint.engine import CompletionRequest
from epipar_inpaint.nerfiller.prior import DEPTH_PRIORS, Prior, make_prior
from epipar_scene.arrays import F64, U8, Bools
from epipar_scene.folder import SceneFolder
from epipar_scene.geometry import backproject
from services.inpaint.tests.rooms import RenderedRoom, View, make_room

TINY = {
    "model_id": "solid:ff00ff",
    "first_fit_iterations": 60,
    "nerfiller_iterations": 60,
    "dataset_update": 30,
    "views_per_update": 6,
    "rays_per_batch": 256,
    "perceptual": "off",
    "field_size": "tiny",
    "diffusion_steps": 4,
    "tile_px": 32,
}
_HASH = "0" * 64
_HOLE_CENTER = np.array([0.1, -0.1, 4.6])
_HOLE_RADIUS = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A scene, its masks and the holes in them."""

    room: RenderedRoom
    masks: Path
    holes: tuple[Bools, ...]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="benchmarks.nerfiller_gpu", description=__doc__)
    parser.add_argument("--python", required=True, type=Path, help="the worker's python")
    parser.add_argument("--model", default="", help="staged inpainting model: a folder")
    parser.add_argument("--settings", default="{}", help="JSON object of worker settings")
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument(
        "--prior", choices=DEPTH_PRIORS, default=DEPTH_PRIORS[0], help="order of depths in holes"
    )
    parser.add_argument("--tiny", action="store_true", help="a CPU, a minute, no weights")
    parser.add_argument("--write", action="store_true", help="keep the table in results.md")
    options = parser.parse_args()
    settings = {**(TINY if options.tiny else {}), **json.loads(options.settings)}
    if options.model:
        settings["model_id"] = options.model
    size, views = ((48, 36), 6) if options.tiny else ((640, 480), options.views)
    with tempfile.TemporaryDirectory() as folder:
        case = make_case(Path(folder), views, size)
        prior = prior_of(options.prior, case, Path(folder))
        result = run_worker(options.python, case, Path(folder), settings, prior)
        table = report(case, Path(folder) / "out", result)
    print(table)
    if options.write:
        Path(__file__).with_name("results.md").write_text(table + "\n")


def make_case(folder: Path, views: int, size: tuple[int, int]) -> Case:
    """Render a room and take a round part of its far side away, in colour and in depth."""
    holes: list[Bools] = []

    def edit(number: int, view: View) -> Any:
        points = backproject(view.seen.depth, view.frame.intrinsics, view.frame.cam_to_world)
        near = np.linalg.norm(points - _HOLE_CENTER, axis=1) < _HOLE_RADIUS
        holes.append(near.reshape(view.seen.depth.shape))
        image, depth = view.seen.image.copy(), view.seen.depth.copy()
        image[holes[number]], depth[holes[number]] = 0, 0
        return image, depth, np.full(depth.shape, 0.9, np.float32)

    room = make_room(folder / "scene", 1, views, size, edit=edit)
    masks = folder / "masks"
    for view, hole in zip(room.views, holes, strict=True):
        for kind in ("color", "depth"):
            (masks / kind).mkdir(parents=True, exist_ok=True)
            keep = np.where(hole, 0, 255).astype(np.uint8)
            Image.fromarray(keep).save(masks / kind / f"{view.frame.name}.png")
    return Case(room, masks, tuple(holes))


def prior_of(name: str, case: Case, folder: Path) -> Prior:
    """Make the prior as the service does."""
    request = CompletionRequest(
        case.room.root,
        case.masks,
        folder / "unused",
        _HASH,
        "complete",
        workers=os.cpu_count() or 1,
    )
    return make_prior(name, request, folder / "work", lambda *_: None)


def run_worker(
    python: Path, case: Case, folder: Path, settings: dict[str, Any], prior: Prior
) -> dict[str, Any]:
    """Run the worker and return its result event."""
    job: dict[str, Any] = {
        "schema_version": 1,
        "scene": str(case.room.root),
        "masks": str(case.masks),
        "output": str(folder / "out"),
        "work": str(folder / "work"),
        "content_hash": _HASH,
        "settings": {**settings, **prior.settings},
    }
    if prior.folder is not None:
        job["depth_prior"] = str(prior.folder)
    (folder / "job.json").write_text(json.dumps(job))
    command = [str(python), "-m", "epipar_nerfiller", str(folder / "job.json")]
    last: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or []:
            last = json.loads(line)
            if last["event"] == "progress":
                print(line.rstrip()[:160], file=sys.stderr)
    if last.get("event") != "result":
        raise SystemExit(f"the worker ended with exit code {process.returncode}: {last}")
    if prior.folder is not None:
        last["stage_seconds"] = {"prior": prior.seconds, **last["stage_seconds"]}
    return last


def report(case: Case, output: Path, result: dict[str, Any]) -> str:
    """Return the table."""
    scene = SceneFolder.open(output)
    ours, telea, depth = [], [], []
    for view, frame, hole in zip(case.room.views, scene.frames, case.holes, strict=True):
        if not hole.any():
            continue
        truth = view.seen.image
        ours.append(psnr(scene.image(frame), truth, hole))
        emptied = np.where(hole[..., None], 0, truth).astype(np.uint8)
        filled = np.asarray(
            cv2.inpaint(emptied, hole.astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8
        )
        telea.append(psnr(filled, truth, hole))
        known = scene.depth(frame)[hole]
        depth.append((known - view.seen.depth[hole]) / view.seen.depth[hole])
    signed = np.concatenate(depth)
    errors = np.abs(signed)
    rows = [
        ("PSNR in holes, dB", f"{np.mean(ours):.2f}"),
        ("the same, Telea per view", f"{np.mean(telea):.2f}"),
        ("depth error in holes, median / 90 %", f"{np.median(errors):.4f} / {_q90(errors):.4f}"),
        ("the same, median with its sign (below 0: too near)", f"{np.median(signed):+.4f}"),
        *((f"seconds: {stage}", f"{s:.1f}") for stage, s in result["stage_seconds"].items()),
        *((name, f"{value:.4g}") for name, value in result["metrics"].items()),
    ]
    lines = [f"| {len(case.holes)} views | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    return "\n".join(lines)


def psnr(picture: U8, truth: U8, where: Bools) -> float:
    """Return the peak signal-to-noise ratio over some pixels."""
    error: F64 = picture[where].astype(np.float64) - truth[where]
    return float(20 * np.log10(255 / max(np.sqrt(np.mean(error**2)), 1e-6)))


def _q90(errors: F64) -> float:
    return float(np.quantile(errors, 0.9))


if __name__ == "__main__":
    main()
