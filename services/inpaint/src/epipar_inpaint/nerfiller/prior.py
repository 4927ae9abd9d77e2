"""Where the worker's guess of the depth inside holes comes from: the engine "fusion", by default.

The worker asks for nothing but the order of the guess. Its own guess is the known depth, continued
smoothly: right in a hole in a wall, wrong where something nearer stands at the hole's rim, which
bleeds into it. Fusion knows what other views have seen there, and where the planes are.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from epipar_inpaint.engine import CompletionOptions, CompletionRequest
from epipar_kit.errors import InvalidInputError
from epipar_kit.events import Report

FUSION, SMOOTH, OFF = "fusion", "smooth", "off"
DEPTH_PRIORS = (FUSION, SMOOTH, OFF)
"""The values of the setting depth_prior; the first is its default."""

STAGE = "prior"
_FOLDER = "prior"
_PAINTER = "telea"  # colours are made too, and thrown away: the fastest will do


@dataclass(frozen=True, slots=True)
class Prior:
    """A prior as the worker's job names it.

    Attributes:
        folder: of {frame}.npy, 0 = no guess; None: the worker continues the known depth.
        settings: worker settings that follow from it.
        seconds: that making it took.
    """

    folder: Path | None
    settings: dict[str, Any]
    seconds: float = 0.0


def make_prior(name: Any, request: CompletionRequest, work: Path, report: Report) -> Prior:
    """Make the prior of a request in its work folder, or take over a finished one.

    Args:
        name: one of DEPTH_PRIORS.
        request: what is to be completed.
        work: folder that outlives a cancel.
        report: told of progress, as stage "prior".

    Raises:
        InvalidInputError: BAD_OPTION, there is no such prior.
        EpiparError: what the engine "fusion" raises.
    """
    if name not in DEPTH_PRIORS:
        raise InvalidInputError(
            "BAD_OPTION",
            "options.nerfiller.depth_prior",
            f"depth_prior is {str(name)[:80]!r}; known: {', '.join(DEPTH_PRIORS)}",
        )
    if name == OFF:
        return Prior(None, {"rank_weight": 0.0})
    if name == SMOOTH:
        return Prior(None, {})
    start_s = time.monotonic()
    folder = work / _FOLDER
    if not (folder / "scene.json").exists():
        _fill_by_fusion(request, folder, report)
    return Prior(folder / "depth", {}, time.monotonic() - start_s)


def _fill_by_fusion(request: CompletionRequest, folder: Path, report: Report) -> None:
    from epipar_inpaint.fusion.engine import FusionEngine  # compiled kernels: seconds

    begun: dict[str, None] = {}

    def told(stage: str, done: int, total: int, unit: str, message: str = "") -> None:
        begun[stage] = None
        text = message or f"{done} of {total} {unit}"
        report(STAGE, len(begun), 0, "steps", f"depth by fusion: {stage}, {text}")

    folder.mkdir(parents=True, exist_ok=True)
    options = CompletionOptions(request.options.seed, _PAINTER)
    FusionEngine().complete(
        replace(request, output=folder, options=options), told, lambda _preview: None
    )
    for made in folder.iterdir():  # only the depth is wanted
        if made.is_dir() and made.name != "depth":
            shutil.rmtree(made)
