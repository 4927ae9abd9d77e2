"""Camera poses of the chosen frames, or a typed refusal; never a silent part of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

from epipar_depth.processes import run_alone
from epipar_depth.sfm import SfmOutcome, SfmTask, run_sfm
from epipar_depth.workfolder import Selection, WorkFolder
from epipar_kit.errors import InvalidInputError

LEAST_REGISTERED_SHARE = 0.8
LEAST_FRAMES = 3

_EXHAUSTIVE_UP_TO = 50  # photos in no order, matched each with each
_LEAST_ANGLE_DEG = 1.0  # median triangulation angle below which depth is a guess
_LEAST_TURN_RESIDUAL = 0.02  # path over distance below which all is explained by turning
_FLAT_SHARE = 0.7  # of the verified pairs, above which a failed model had no parallax


def estimate_poses(
    work: WorkFolder,
    selection: Selection,
    *,
    sequential: bool | None,
    seed: int,
    threads: int,
    progress: Callable[[str, int, int], None],
) -> SfmOutcome:
    """Write work.reconstruction, unless it is there from an earlier run.

    Args:
        work: folder with the chosen frames.
        selection: what they are.
        sequential: match neighbours in time only; None: a video, or more than 50 photos.
        seed: of everything random.
        threads: for features and the last adjustment; results do not depend on it.
        progress: told (stage, done, total).

    Raises:
        InvalidInputError: NO_PARALLAX or SPLIT_MODEL, with counts.
    """
    stored = work.read_json("poses")
    if stored is not None and work.reconstruction.exists():
        return SfmOutcome(**{**stored, "models": tuple(stored["models"])})
    count = len(selection.keys)
    if sequential is None:
        sequential = selection.is_video or count > _EXHAUSTIVE_UP_TO
    task = SfmTask(work.frames, work.sfm, work.reconstruction, count, sequential, threads, seed)
    outcome: SfmOutcome = run_alone(partial(run_sfm, task), progress)
    refuse_failure(outcome, count)
    work.write_json("poses", asdict(outcome))
    return outcome


def refuse_failure(outcome: SfmOutcome, count: int) -> None:
    """Refuse a reconstruction that is none, has no depth, or is one of several parts.

    Raises:
        InvalidInputError: NO_PARALLAX or SPLIT_MODEL, with counts.
    """
    largest = outcome.models[0] if outcome.models else 0
    flat = outcome.verified_pairs > 0 and (
        outcome.flat_pairs >= _FLAT_SHARE * outcome.verified_pairs
    )
    if outcome.turn_residual < _LEAST_TURN_RESIDUAL or (not outcome.models and flat):
        raise _no_parallax(
            f"{outcome.flat_pairs} of {outcome.verified_pairs} matched image pairs are explained "
            "by a turn of the camera alone: it has to move sideways too",
            outcome,
        )
    if not outcome.lens_is_plausible:
        raise _no_parallax(
            "the camera moved too little, or before too flat a scene, to tell its lens", outcome
        )
    if outcome.models and outcome.median_angle_deg < _LEAST_ANGLE_DEG:
        raise _no_parallax(
            f"the camera moved too little: points are seen under {outcome.median_angle_deg:.2g} "
            f"degrees, at least {_LEAST_ANGLE_DEG:g} are needed",
            outcome,
        )
    if largest < max(LEAST_FRAMES, LEAST_REGISTERED_SHARE * count):
        raise InvalidInputError(
            "SPLIT_MODEL",
            "source",
            f"{largest} of {count} frames fit into one model, in {len(outcome.models)} parts; "
            f"at least {LEAST_REGISTERED_SHARE:.0%} are needed",
            registered=largest,
            frames=count,
            parts=",".join(map(str, outcome.models)),
        )


def _no_parallax(message: str, outcome: SfmOutcome) -> InvalidInputError:
    return InvalidInputError(
        "NO_PARALLAX",
        "source",
        message,
        verified_pairs=outcome.verified_pairs,
        flat_pairs=outcome.flat_pairs,
        turn_residual=f"{outcome.turn_residual:.3g}",
        median_angle_deg=f"{outcome.median_angle_deg:.3g}",
    )
