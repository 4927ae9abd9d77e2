"""Measure the engine "fusion" beside per-frame inpainting on rendered rooms.

``python -m benchmarks.completion [--quick] [--only WORD] [--write]``: prints a table and what was
asked beside what was measured; --write keeps both in results.md and the pictures in pictures/.
One worker; CPU-seconds. --only and --clean with --write replace the rows that they measure.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2

from benchmarks.completion.cases import (
    DISTURBANCES,
    HELD_OUT,
    SCENES,
    SIZE,
    SceneKind,
    make_case,
    rendered,
)
from benchmarks.completion.measure import NONE, Bench
from benchmarks.completion.reach import reach_tables
from benchmarks.completion.reconstructed import (
    DISTURBANCE as RECONSTRUCTED,
)
from benchmarks.completion.reconstructed import (
    make_reconstructed_case,
    reconstruct,
    reconstructed_views,
)
from benchmarks.completion.rows import HEAD, merged, read_rows, table
from benchmarks.completion.sheet import Sheets

HERE = Path(__file__).resolve().parent
HOLES = ("blobs", "surface", "removed", "depth", "object")
_DISTURBED_HOLES = ("blobs", "surface", "removed", "depth")
_DISTURBED_SCENES = ("textured room", "plain room", "outdoor", "clutter")
_HELD_OUT_HOLES = ("surface", "removed", "depth")
_RECONSTRUCTED_SCENES = ("textured room", "clutter")
_SPEED_SIZE, _SPEED_SCENES = (480, 360), ("textured room", "plain room", "clutter")
_QUICK_SIZE, _QUICK_VIEWS = (160, 120), 8


def main() -> None:
    """Run all cases and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="keep the tables and the pictures")
    parser.add_argument("--only", default="", help="run cases whose scene/holes/disturbance has it")
    parser.add_argument("--clean", action="store_true", help="undisturbed cases alone, no speed")
    parser.add_argument("--quick", action="store_true", help="one small scene: about a minute")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    bench = Bench(given.only, Sheets(HERE / "pictures"), clean_only=given.clean)
    print(HEAD)
    if given.quick:
        _measure_quick(bench)
    else:
        _measure_rendered(bench)
        _measure_held_out(bench)
        _measure_speed(bench)
        _measure_reconstructed(bench)
    rows = bench.rows
    if given.write and (given.only or given.clean):
        rows = merged(read_rows(HERE / "results.md"), rows)
    reach = reach_tables(rows)
    print(f"\n{reach}")
    if given.write and not given.quick:
        text = f"{reach}\n\n# All figures\n\n{table(rows)}\n"
        (HERE / "results.md").write_text(text, encoding="utf-8")
        bench.write_sheets()


def _cases(kind: SceneKind) -> Iterator[tuple[str, str]]:
    if kind.floating != "ball":
        yield "object", ""
        return
    scene = kind.name
    for holes in HOLES:
        yield holes, ""
    if scene in _DISTURBED_SCENES:
        for disturbance in list(DISTURBANCES)[1:]:
            for holes in _DISTURBED_HOLES:
                yield holes, disturbance


def _measure_rendered(bench: Bench) -> None:
    for kind in SCENES:
        asked = [case for case in _cases(kind) if bench.wants(kind.name, *case)]
        views = rendered(kind) if asked else []
        for holes, disturbance in asked:
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                case = make_case(root, kind, views, holes, DISTURBANCES[disturbance])
                bench.measure(case, root, kind.name, holes, disturbance or NONE)


def _measure_held_out(bench: Bench) -> None:
    """Measure scenes of other seeds, beside Telea alone."""
    for kind in HELD_OUT:
        asked = [holes for holes in _HELD_OUT_HOLES if bench.wants(kind.name, holes, "")]
        views = rendered(kind) if asked else []
        for holes in asked:
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                case = make_case(root, kind, views, holes, DISTURBANCES[""])
                bench.measure(case, root, kind.name, holes, NONE, all_peers=False)


def _measure_speed(bench: Bench) -> None:
    """Measure CPU-seconds at the size that was asked for."""
    size = f"{_SPEED_SIZE[0]}x{_SPEED_SIZE[1]}"
    for kind in SCENES:
        name = f"{kind.name} {size}"
        if kind.name not in _SPEED_SCENES:
            continue
        asked = [h for h in ("blobs", "surface", "removed") if bench.wants_speed(name, h)]
        views = rendered(kind, _SPEED_SIZE) if asked else []
        for holes in asked:
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                case = make_case(root, kind, views, holes, DISTURBANCES[""])
                bench.measure_speed(case, root, name, holes)


def _measure_reconstructed(bench: Bench) -> None:
    for kind in SCENES:
        asked = [h for h in _DISTURBED_HOLES if bench.wants(kind.name, h, RECONSTRUCTED)]
        if kind.name not in _RECONSTRUCTED_SCENES or not asked:
            continue
        with tempfile.TemporaryDirectory() as folder:
            scene, into_truth = reconstruct(kind, Path(folder), SIZE)
            views = reconstructed_views(kind, scene, into_truth)
            for holes in asked:
                root = Path(folder) / holes
                case = make_reconstructed_case(root, kind, scene, into_truth, views, holes)
                bench.measure(case, root, kind.name, holes, RECONSTRUCTED)


def _measure_quick(bench: Bench) -> None:
    kind = SCENES[0]
    views = rendered(kind, _QUICK_SIZE, _QUICK_VIEWS)
    for holes in HOLES:
        if bench.wants(kind.name, holes, ""):
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder)
                case = make_case(root, kind, views, holes, DISTURBANCES[""])
                bench.measure(case, root, kind.name, holes, NONE)


if __name__ == "__main__":
    main()
