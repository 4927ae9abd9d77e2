"""Completing a case with every method, and what that costs."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.completion.cases import Case
from benchmarks.completion.ceiling import CEILINGS
from benchmarks.completion.peers import PEERS
from benchmarks.completion.rows import BASELINE, OURS, Row
from benchmarks.completion.score import score
from benchmarks.completion.sheet import Sheets
from epipar_inpaint.engine import CompletionRequest
from epipar_inpaint.fusion.engine import FusionEngine
from epipar_scene.arrays import F32, U8
from epipar_scene.folder import SceneFolder

NONE = "-"
"""How a table calls the disturbance of undisturbed input."""

_SHOWN = 4  # the view on the picture sheets


class Bench:
    """Measures cases one after the other."""

    def __init__(self, only: str, sheets: Sheets, *, clean_only: bool = False) -> None:
        self.rows: list[Row] = []
        self._only = only
        self._clean_only = clean_only
        self._sheets = sheets

    def wants(self, scene: str, holes: str, disturbance: str) -> bool:
        """Whether a case was asked for."""
        if self._clean_only and disturbance:
            return False
        return self._only in f"{scene}/{holes}/{disturbance}"

    def wants_speed(self, scene: str, holes: str) -> bool:
        """Whether a case at the size that speed is measured at was asked for."""
        return not self._clean_only and self.wants(scene, holes, "")

    def measure(
        self,
        case: Case,
        root: Path,
        name: str,
        holes: str,
        disturbance: str,
        *,
        all_peers: bool = True,
    ) -> None:
        """Complete a case with all methods, or Telea and ours alone, and print their rows."""
        clean = disturbance == NONE and all_peers
        scene = SceneFolder.open(case.scene)
        images = [scene.image(frame) for frame in scene.frames]
        depths = [scene.depth(frame) for frame in scene.frames]
        pictures = [case.truth[_SHOWN].image, images[_SHOWN]]

        def keep(method: str, made: list[tuple[U8, F32]], cpu_s: float) -> None:
            found = score(case, [image for image, _ in made], [depth for _, depth in made])
            self._add(Row(name, holes, disturbance, method, found, cpu_s))

        # Frame by frame, poses and scales do not matter: one peer is enough there.
        for method, peer in PEERS.items():
            if clean or method == BASELINE:
                start_s = time.process_time()
                made = [peer(*view) for view in zip(images, depths, case.asked, strict=True)]
                keep(method, made, (time.process_time() - start_s) / len(made))
                pictures.append(made[_SHOWN][0])
        if disturbance == NONE and holes == "surface":
            for name_of_it, guess in CEILINGS.items():
                true = zip(case.truth, case.asked, strict=True)
                best = [(guess(seen.image, hole.color), seen.depth) for seen, hole in true]
                keep(name_of_it, best, 0.0)
        done, cpu_s = _complete(case, root / "completed")
        filled = [(done.image(frame), done.depth(frame)) for frame in done.frames]
        keep(OURS, filled, cpu_s)
        if clean:
            pictures.append(filled[_SHOWN][0])
            self._sheets.add(holes, name, pictures, case.truth[_SHOWN].depth, filled[_SHOWN][1])

    def measure_speed(self, case: Case, root: Path, name: str, holes: str) -> None:
        """Complete a case with our engine alone."""
        done, cpu_s = _complete(case, root / "completed")
        images = [done.image(frame) for frame in done.frames]
        depths = [done.depth(frame) for frame in done.frames]
        self._add(Row(name, holes, NONE, OURS, score(case, images, depths), cpu_s))

    def write_sheets(self) -> None:
        """Keep the pictures."""
        self._sheets.write()

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        print(row.text(), flush=True)


def _complete(case: Case, output: Path) -> tuple[SceneFolder, float]:
    start_s = time.process_time()
    request = CompletionRequest(case.scene, case.masks, output, "0" * 64, case.intent)
    FusionEngine().complete(request, _silent, lambda _: None)
    cpu_s = (time.process_time() - start_s) / len(case.holes)
    return SceneFolder.open(output), cpu_s


def _silent(stage: str, done: int, total: int, unit: str, message: str = "") -> None:
    """Take progress and say nothing."""
