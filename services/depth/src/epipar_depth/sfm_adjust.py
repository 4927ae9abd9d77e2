"""The last adjustment of a COLMAP model: robust, and with the principal point freed.

On a cropped or stabilised video the lens is not centred, and leaving it so bends the whole path.
COLMAP's own adjustment ends elsewhere in every run on two threads, and takes three times as many
steps (benchmarks/depth/README.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from epipar_depth.bundle import adjust, entries
from epipar_depth.sfm_arrays import ModelArrays

_LEAST_FRAMES_FOR_CENTRE = 20  # below, the principal point stays in the middle
_MOST_CENTRE_SHIFT = 0.05  # of the longer side; beyond, the adjustment is not believed
_FINAL_REPROJECTION_PX = 1.0
_FINAL_LOSS_PX = 0.25  # about what a good observation is off; beyond it, one counts less and less
_FINAL_ANGLE_DEG = 1.0
_FINAL_ROUNDS = 3
# Relative gain below which a round ends, and its most steps. Where the camera hardly turns, focal
# length and path trade off along a flat valley: ended at 1e-5, it may stay far from the truth.
_FINAL_TOLERANCE = 1e-6
_FINAL_STEPS = 100
MOST_ENTRIES = 16_000_000


def refine(
    pycolmap: Any, model: Any, scratch: Path, threads: int, *, most_entries: int = MOST_ENTRIES
) -> Any:
    """Adjust all once more, robustly, the principal point too where frames are enough.

    Args:
        pycolmap: the module.
        model: COLMAP's; changed.
        scratch: an existing folder for intermediate files.
        threads: how many.
        most_entries: in the equations of the cameras, 8 bytes each; larger ones are left to COLMAP,
            which solves them iteratively, in less memory.

    Returns:
        The adjusted model; with the principal point in the middle if it would stray too far. It is
        the same for any number of threads.
    """
    (camera,) = model.cameras.values()
    before = pycolmap.Reconstruction(model)
    free_centre = model.num_reg_images() >= _LEAST_FRAMES_FOR_CENTRE
    _adjust(pycolmap, model, scratch, threads, most_entries, free_centre=free_centre)
    shift = np.hypot(camera.params[1] - camera.width / 2, camera.params[2] - camera.height / 2)
    if shift > _MOST_CENTRE_SHIFT * max(camera.width, camera.height):
        _adjust(pycolmap, before, scratch, threads, most_entries, free_centre=False)
        return before
    return model


def _adjust(
    pycolmap: Any,
    model: Any,
    scratch: Path,
    threads: int,
    most_entries: int,
    *,
    free_centre: bool,
) -> None:
    for _ in range(_FINAL_ROUNDS):
        read = ModelArrays(model, scratch)
        if not read.bundle.seen.owners.size:
            return
        if entries(read.bundle) > most_entries:
            _adjust_by_colmap(pycolmap, model, free_centre=free_centre)
        else:
            adjusted = adjust(
                read.bundle,
                loss_px=_FINAL_LOSS_PX,
                free_centre=free_centre,
                tolerance=_FINAL_TOLERANCE,
                most_steps=_FINAL_STEPS,
                threads=threads,
            )
            read.write_back(pycolmap, adjusted.state)
        pycolmap.ObservationManager(model).filter_all_points3D(
            _FINAL_REPROJECTION_PX, _FINAL_ANGLE_DEG
        )


def _adjust_by_colmap(pycolmap: Any, model: Any, *, free_centre: bool) -> None:
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_principal_point = free_centre
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = _FINAL_LOSS_PX
    options.ceres.solver_options.num_threads = 1
    options.ceres.solver_options.function_tolerance = _FINAL_TOLERANCE
    options.ceres.solver_options.max_num_iterations = _FINAL_STEPS
    pycolmap.bundle_adjustment(model, options)
