"""The last adjustment of a COLMAP model: robust, and with the principal point freed.

On a cropped or stabilised video the lens is not centred, and leaving it so bends the whole path.
"""

from __future__ import annotations

from typing import Any

import numpy as np

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


def refine(pycolmap: Any, model: Any) -> Any:
    """Adjust all once more, robustly, the principal point too where frames are enough.

    Returns:
        The adjusted model; with the principal point in the middle if it would stray too far.
    """
    (camera,) = model.cameras.values()
    before = pycolmap.Reconstruction(model)
    free_centre = model.num_reg_images() >= _LEAST_FRAMES_FOR_CENTRE
    _adjust(pycolmap, model, free_centre=free_centre)
    shift = np.hypot(camera.params[1] - camera.width / 2, camera.params[2] - camera.height / 2)
    if shift > _MOST_CENTRE_SHIFT * max(camera.width, camera.height):
        _adjust(pycolmap, before, free_centre=False)
        return before
    return model


def _adjust(pycolmap: Any, model: Any, *, free_centre: bool) -> None:
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_principal_point = free_centre
    options.print_summary = False
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.loss_function_scale = _FINAL_LOSS_PX
    options.ceres.solver_options.num_threads = 1
    options.ceres.solver_options.function_tolerance = _FINAL_TOLERANCE
    options.ceres.solver_options.max_num_iterations = _FINAL_STEPS
    for _ in range(_FINAL_ROUNDS):
        pycolmap.bundle_adjustment(model, options)
        pycolmap.ObservationManager(model).filter_all_points3D(
            _FINAL_REPROJECTION_PX, _FINAL_ANGLE_DEG
        )
