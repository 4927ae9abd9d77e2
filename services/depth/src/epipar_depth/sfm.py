"""Structure from motion by pycolmap, in a process of its own: a failed check in it aborts.

SIFT only (its learned features abort without their models). One camera for all frames.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from epipar_depth.sfm_adjust import refine
from epipar_depth.sfm_log import LOG_NAME, Forward, Progress, watched
from epipar_depth.sfm_mapping import Mapping
from epipar_depth.sfm_model import median_angle_deg, reconstruction_of
from epipar_depth.sfm_pairs import (
    feature_counts,
    pairs_in_time,
    picture_size,
    turn_residual,
    verified_pairs,
)

_FEATURES = 2048
# Most footage has enough features at its own size; only what has not is enlarged for more, which
# costs three times as much.
_PROBED_FRAMES = 6
_RICH = 900  # features that most of the probed frames must have
_RICH_FEATURES = 1024
_PAIRS_A_BLOCK = 100  # matched and verified side by side, then written
# COLMAP's TwoViewGeometry: planar, panoramic, or one of the two.
_NO_PARALLAX_CONFIGS = (4, 5, 6)
_FOCAL_RANGE = (0.3, 5.0)  # of the longer side; a lens outside was invented by the adjustment
_MOST_RADIAL = 0.5


@dataclass(frozen=True, slots=True)
class SfmTask:
    """What the process is to do.

    Attributes:
        frames: folder of the chosen frames, named 00000.png, 00001.png ...
        scratch: folder for the feature database and models; emptied first.
        result: folder to write the largest model to.
        count: number of frames.
        sequential: match neighbours in time only.
        threads: for features and the last adjustment; matching and mapping use one, so that
            results repeat.
        seed: of RANSAC and mapping.
    """

    frames: Path
    scratch: Path
    result: Path
    count: int
    sequential: bool
    threads: int
    seed: int


@dataclass(frozen=True, slots=True)
class SfmOutcome:
    """What mapping came to.

    Attributes:
        models: registered frames of each model, largest first.
        verified_pairs: image pairs with a verified geometry.
        flat_pairs: of those, pairs that a plane or a rotation alone explains.
        turn_residual: how far the pairs' homographies are from turns of one camera: about the
            camera's path over the distance of what it sees.
        lens_is_plausible: focal length and distortion are those of a real lens.
        median_angle_deg: of the widest triangulation angle of each point.
        reprojection_error_px: mean of the largest model.
    """

    models: tuple[int, ...]
    verified_pairs: int
    flat_pairs: int
    turn_residual: float
    lens_is_plausible: bool
    median_angle_deg: float
    reprojection_error_px: float


def run_sfm(task: SfmTask, progress: Progress) -> SfmOutcome:
    """Reconstruct; the largest model is written to task.result unless there is none."""
    import pycolmap

    pycolmap.set_random_seed(task.seed)
    shutil.rmtree(task.scratch, ignore_errors=True)
    task.scratch.mkdir(parents=True)
    database = task.scratch / "features.db"
    forward = Forward(progress)
    with watched(task.scratch / LOG_NAME, forward, task.count):
        return _run(pycolmap, task, database, forward)


def _run(pycolmap: Any, task: SfmTask, database: Path, progress: Progress) -> SfmOutcome:
    extract(pycolmap, task, database)
    progress("features", task.count, task.count)
    match(pycolmap, task, database)
    progress("matching", task.count, task.count)
    pairs = verified_pairs(database)
    flat = sum(config in _NO_PARALLAX_CONFIGS for config, _ in pairs)
    models = map_models(pycolmap, task, database, progress)
    size = picture_size(database)
    turn = turn_residual([homography for _, homography in pairs if homography is not None], size)
    if not models:
        return SfmOutcome((), len(pairs), flat, turn, True, 0.0, 0.0)
    best = refine(pycolmap, models[0], _models_folder(task), task.threads)
    angle, error = median_angle_deg(best), float(best.compute_mean_reprojection_error())
    (camera,) = best.cameras.values()
    focal, radial = camera.params[0] / max(size), camera.params[3]
    plausible = bool(_FOCAL_RANGE[0] < focal < _FOCAL_RANGE[1] and abs(radial) < _MOST_RADIAL)
    if plausible:
        reconstruction_of(best).save(task.result)
    sizes = tuple(int(model.num_reg_images()) for model in models)
    return SfmOutcome(sizes, len(pairs), flat, turn, plausible, angle, error)


def extract(pycolmap: Any, task: SfmTask, database: Path) -> None:
    """Write the features of every frame to a new database."""
    every = _names(task)
    _import(pycolmap, task, database, every)
    # Features of the probed frames stay, and are not looked for again.
    _extract_from(pycolmap, task, database, every[:: max(1, task.count // _PROBED_FRAMES)])
    if float(np.median(feature_counts(database))) >= _RICH:
        _extract_from(pycolmap, task, database, every)
        return
    for file in task.scratch.glob(f"{database.name}*"):  # its journal too
        file.unlink()
    _import(pycolmap, task, database, every)
    _extract_from(pycolmap, task, database, every, enlarged=True)


def _names(task: SfmTask) -> list[str]:
    return [f"{index:05d}.png" for index in range(task.count)]


def _import(pycolmap: Any, task: SfmTask, database: Path, names: list[str]) -> None:
    # Else pictures are numbered as threads finish them, and no two runs are alike.
    pycolmap.Database.open(database).close()
    pycolmap.import_images(
        database,
        task.frames,
        camera_mode=pycolmap.CameraMode.SINGLE,
        image_names=names,
        options=_reader(pycolmap),
    )


def _reader(pycolmap: Any) -> Any:
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_RADIAL"
    return reader


def _extract_from(
    pycolmap: Any, task: SfmTask, database: Path, names: list[str], *, enlarged: bool = False
) -> None:
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads = task.threads
    options.sift.max_num_features = _FEATURES if enlarged else _RICH_FEATURES
    options.sift.first_octave = -1 if enlarged else 0
    pycolmap.extract_features(
        database,
        task.frames,
        image_names=names,
        camera_mode=pycolmap.CameraMode.SINGLE,
        reader_options=_reader(pycolmap),
        extraction_options=options,
        device=pycolmap.Device.cpu,
    )


def match(pycolmap: Any, task: SfmTask, database: Path) -> None:
    """Match the frames in the database, and verify the pairs."""
    options = pycolmap.FeatureMatchingOptions()
    # One that matches beside one that verifies, which is as much work. With two that match, some
    # pairs had other matches in each run; with one all are the same, however they are blocked.
    options.num_threads = 1
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = task.seed
    shared = {
        "matching_options": options,
        "verification_options": verification,
        "device": pycolmap.Device.cpu,
    }
    if not task.sequential:
        pycolmap.match_exhaustive(database, **shared)
        return
    # COLMAP's own sequential matching ends each frame's pairs before it begins the next frame's.
    names = _names(task)
    pairing = pycolmap.ImportedPairingOptions()
    pairing.block_size = _PAIRS_A_BLOCK
    pairing.match_list_path = task.scratch / "pairs.txt"
    pairs = pairs_in_time(task.count)
    pairing.match_list_path.write_text("".join(f"{names[a]} {names[b]}\n" for a, b in pairs))
    pycolmap.match_image_pairs(database, pairing_options=pairing, **shared)


def map_models(pycolmap: Any, task: SfmTask, database: Path, progress: Progress) -> list[Any]:
    """Return COLMAP's models of the matched frames, largest first."""
    registered = 2

    def one_more() -> None:
        nonlocal registered
        registered = min(registered + 1, task.count)
        progress("mapping", registered, task.count)

    return Mapping(
        pycolmap,
        database,
        _models_folder(task),
        threads=task.threads,
        seed=task.seed,
        registered=one_more,
    ).run()


def _models_folder(task: SfmTask) -> Path:
    folder = task.scratch / "models"
    folder.mkdir(exist_ok=True)
    return folder
