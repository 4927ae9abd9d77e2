"""Measure how often filled depth is right, for the table in epipar_inpaint/fusion/confidence.py.

``python -m benchmarks.completion.fit_confidence [--seed-offset N] [--scenes A,B]``: prints the share
of filled pixels within 5 % of the truth by kind and by support or ring share, of all scenes and of
each, and the expected calibration error in every scene of the table that is fitted to the others
and of the one that the engine uses. With an offset the scenes are drawn from other seeds than those
of the benchmark. About a CPU-minute a scene.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from benchmarks.completion.cases import DISTURBANCES, SCENES, Case, SceneKind, make_case, rendered
from epipar_inpaint.engine import CompletionRequest
from epipar_inpaint.fusion.confidence import fill_confidence
from epipar_inpaint.fusion.labels import BODY, CONTINUED, PLANE, REPROJECTED
from epipar_inpaint.fusion.run import Run
from epipar_scene.arrays import F32, F64, I64, Bools

_CASES = (
    ("depth", ""),
    ("removed", ""),
    ("object", ""),
    ("blobs", "depth noise 1 %"),
    ("surface", "scales ±3 %"),
)
_SCENES = "textured room,plain room,outdoor,clutter"
_RIGHT = 0.05  # relative error of depth
_STRIDE = 3  # of the pixels, one is counted
_MOST_SUPPORT, _QUARTERS, _BINS = 4, 4, 10
_BY_SHARE = {PLANE: "plane", CONTINUED: "continued"}


@dataclass(frozen=True, slots=True, eq=False)
class Filled:
    """Filled pixels of one scene.

    Attributes:
        group: (N,) kind, and support or quarter of the ring share; see _group.
        told: (N,) confidence that the engine gives them.
        right: (N,) whether the depth is within 5 % of the truth.
    """

    group: I64
    told: F32
    right: Bools


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed-offset", type=int, default=0, help="added to the scenes' seeds")
    parser.add_argument("--scenes", default=_SCENES, help=f"default: {_SCENES}")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    kinds = {kind.name: kind for kind in SCENES}
    found: dict[str, Filled] = {}
    for name in given.scenes.split(","):
        kind = replace(kinds[name], seed=kinds[name].seed + given.seed_offset)
        found[name] = _measured(kind)
    _print_table(found)
    _print_errors(found)


def _measured(kind: SceneKind) -> Filled:
    views = rendered(kind)
    parts = []
    for holes, disturbance in _CASES:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            case = make_case(root, kind, views, holes, DISTURBANCES[disturbance])
            parts += _filled(case, root / "completed")
    return _joined(parts)


def _joined(parts: list[Filled]) -> Filled:
    return Filled(
        np.concatenate([part.group for part in parts]),
        np.concatenate([part.told for part in parts]),
        np.concatenate([part.right for part in parts]),
    )


def _filled(case: Case, output: Path) -> list[Filled]:
    """Fill the depth of a case; return the filled pixels of every view."""
    output.mkdir()
    request = CompletionRequest(case.scene, case.masks, output, "0" * 64, case.intent)
    run = Run(request, lambda *_, **__: None, lambda _: None)
    run.fill_depth()
    parts = []
    for k, (truth, hole) in enumerate(zip(case.truth, case.holes, strict=True)):
        layer = run.store.layer("depth", k)
        kind, support, certainty = layer["kind"], layer["support"], layer["certainty"]
        depth, true = layer["depth"], truth.depth
        counted = hole.depth & (true > 0) & (kind > 0) & np.isfinite(depth)
        certain = np.ones(1, np.float32)
        told = fill_confidence(kind, support, certainty, certain, "PROBABILITY_5PCT")
        right = np.abs(depth / np.maximum(true, 1e-6) - 1) < _RIGHT
        group = _group(kind, support, certainty)
        some = np.flatnonzero(counted)[::_STRIDE]
        parts.append(Filled(group.flat[some], told.flat[some], right.flat[some]))
    return parts


def _group(kind: I64, support: I64, certainty: F32) -> I64:
    """Return 10 * kind + the number of views that measure it, or the quarter of the ring share."""
    quarter = np.minimum((certainty * _QUARTERS).astype(np.int64), _QUARTERS - 1)
    inner = np.where(kind == REPROJECTED, np.minimum(support, _MOST_SUPPORT), quarter)
    return 10 * kind.astype(np.int64) + np.where(kind == BODY, 0, inner)


def _name(group: int) -> str:
    kind, inner = divmod(group, 10)
    if kind == REPROJECTED:
        return f"reprojected, {inner} views" + (" or more" if inner == _MOST_SUPPORT else "")
    if kind == BODY:
        return "body"
    return f"{_BY_SHARE[kind]}, ring share about {(inner + 0.5) / _QUARTERS:.3f}"


def _print_table(found: Mapping[str, Filled]) -> None:
    every = _joined(list(found.values()))
    print("| kind | pixels | right in all |", " | ".join(found), "|")
    print("|---|--:|--:|" + "--:|" * len(found))
    for group in np.unique(every.group):
        shares = [_share(part.right[part.group == group]) for part in found.values()]
        here = every.group == group
        cells = [_name(int(group)), str(int(here.sum())), _share(every.right[here]), *shares]
        print(f"| {' | '.join(cells)} |")


def _share(right: Bools) -> str:
    return f"{right.mean():.3f}" if len(right) else "-"


def _print_errors(found: Mapping[str, Filled]) -> None:
    print("\n| scene left out | error of the others' table | error of the engine's table |")
    print("|---|--:|--:|")
    for name, part in found.items():
        others = [other for key, other in found.items() if key != name]
        fitted = f"{_error(_told_by(_joined(others), part), part.right):.3f}" if others else "-"
        print(f"| {name} | {fitted} | {_error(part.told, part.right):.3f} |")


def _told_by(others: Filled, part: Filled) -> F64:
    """Return what the shares of other scenes say of a scene's pixels."""
    told = np.full(len(part.group), float(others.right.mean()))
    for group in np.unique(others.group):
        told[part.group == group] = others.right[others.group == group].mean()
    return told


def _error(told: F64 | F32, right: Bools) -> float:
    """Return the expected calibration error over ten equal bins."""
    place = np.minimum((told * _BINS).astype(np.int64), _BINS - 1)
    apart = [
        abs(float(told[place == b].mean()) - float(right[place == b].mean())) * (place == b).mean()
        for b in range(_BINS)
        if (place == b).any()
    ]
    return float(sum(apart))


if __name__ == "__main__":
    main()
