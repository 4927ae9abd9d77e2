"""Measure the engine "fusion" beside per-frame inpainting on rendered rooms.

``python -m benchmarks.completion [--write] [--only WORD]``: prints a table; --write keeps it in
results.md and the pictures in pictures/. One worker; CPU-seconds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks.completion.cases import DISTURBANCES, SCENES, Case, SceneKind, make_case, rendered
from benchmarks.completion.peers import PEERS
from benchmarks.completion.score import Score, score
from epipar_inpaint.engine import CompletionRequest
from epipar_inpaint.fusion.engine import FusionEngine
from epipar_scene.arrays import F32, U8
from epipar_scene.folder import SceneFolder

HERE = Path(__file__).resolve().parent
HOLES = ("blobs", "surface", "removed", "depth", "object")
HEAD = (
    "| scene | holes | disturbed by | method | PSNR dB | SSIM | AbsRel | within 2 % | agreement | F 3 cm "
    "| CPU-s a view |\n|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|"
)


def main() -> None:
    """Run all cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="keep the table and the pictures")
    parser.add_argument("--only", default="", help="run cases whose name has this word")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    rows = [HEAD]
    print(HEAD)
    for kind in SCENES:
        views = rendered(kind)
        for holes, disturbance in _cases():
            if given.only not in f"{kind.name}/{holes}/{disturbance}":
                continue
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                case = make_case(root, kind, views, holes, DISTURBANCES[disturbance])
                for row in _measure(case, root, kind, holes, disturbance, write=given.write):
                    rows.append(row)
                    print(row, flush=True)
    if given.write:
        (HERE / "results.md").write_text("\n".join(rows) + "\n", encoding="utf-8")


def _cases() -> Iterator[tuple[str, str]]:
    for holes in HOLES:
        yield holes, ""
    for disturbance in list(DISTURBANCES)[1:]:
        yield "blobs", disturbance
        yield "surface", disturbance


def _measure(
    case: Case, root: Path, kind: SceneKind, holes: str, disturbance: str, *, write: bool
) -> list[str]:
    scene = SceneFolder.open(case.scene)
    images = [scene.image(frame) for frame in scene.frames]
    depths = [scene.depth(frame) for frame in scene.frames]
    rows, sheet = [], [case.truth[4].image, images[4]]
    for name, peer in PEERS.items():
        start_s = time.process_time()
        made = [peer(*view) for view in zip(images, depths, case.holes, strict=True)]
        cpu_s = (time.process_time() - start_s) / len(made)
        found = score(case, [image for image, _ in made], [depth for _, depth in made])
        rows.append(_row(kind, holes, disturbance, name, found, cpu_s))
        sheet.append(made[4][0])
    done, cpu_s = _complete(case, root / "completed")
    filled = [(done.image(frame), done.depth(frame)) for frame in done.frames]
    found = score(case, [image for image, _ in filled], [depth for _, depth in filled])
    rows.append(_row(kind, holes, disturbance, "**fusion**", found, cpu_s))
    if write and not disturbance:
        _draw(f"{kind.name} {holes}", [*sheet, filled[4][0]], case.truth[4].depth, filled[4][1])
    return rows


def _complete(case: Case, output: Path) -> tuple[SceneFolder, float]:
    start_s = time.process_time()
    request = CompletionRequest(case.scene, case.masks, output, "0" * 64, case.intent)
    FusionEngine().complete(request, _silent, lambda _: None)
    cpu_s = (time.process_time() - start_s) / len(case.holes)
    return SceneFolder.open(output), cpu_s


def _silent(stage: str, done: int, total: int, unit: str, message: str = "") -> None:
    """Take progress and say nothing."""


def _row(
    kind: SceneKind, holes: str, disturbance: str, name: str, found: Score, cpu_s: float
) -> str:
    def text(value: float, digits: int) -> str:
        return "-" if np.isnan(value) else f"{value:.{digits}f}"

    return (
        f"| {kind.name} | {holes} | {disturbance or '-'} | {name} | {text(found.psnr, 1)} "
        f"| {text(found.ssim, 3)} | {text(found.absrel, 4)} | {text(found.within_2, 3)} | {text(found.agreement, 3)} "
        f"| {text(found.f_score, 3)} "
        f"| {cpu_s:.2f} |"
    )


def _draw(name: str, pictures: list[U8], true_depth: F32, depth: F32) -> None:
    """Keep a sheet: truth, as given, each method; true depth and the completed one."""
    low, high = (float(v) for v in np.percentile(true_depth[true_depth > 0], [1, 99]))

    def shaded(values: F32) -> U8:
        share = np.clip((1 / np.maximum(values, 1e-3) - 1 / high) / (1 / low - 1 / high), 0, 1)
        painted = cv2.applyColorMap((255 * share).astype(np.uint8), cv2.COLORMAP_TURBO)
        return np.asarray(np.where(values[..., None] > 0, painted, 0), np.uint8)

    tiles = [picture[:, :, ::-1] for picture in pictures] + [shaded(true_depth), shaded(depth)]
    folder = HERE / "pictures"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name.replace(' ', '_')}.jpg"
    cv2.imwrite(str(path), np.hstack(tiles), [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    main()
