"""The last adjustment of a COLMAP model: robust, and with the principal point freed.

On a cropped or stabilised video the lens is not centred, and leaving it so bends the whole path.
COLMAP's own adjustment ends elsewhere in every run on two threads, and takes three times as many
steps (benchmarks/depth/README.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from epipar_depth.bundle import Bundle, adjust, entries
from epipar_depth.bundle_residuals import State

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


def refine(pycolmap: Any, model: Any, threads: int, *, most_entries: int = MOST_ENTRIES) -> Any:
    """Adjust all once more, robustly, the principal point too where frames are enough.

    Args:
        pycolmap: the module.
        model: COLMAP's; changed.
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
    _adjust(pycolmap, model, threads, most_entries, free_centre=free_centre)
    shift = np.hypot(camera.params[1] - camera.width / 2, camera.params[2] - camera.height / 2)
    if shift > _MOST_CENTRE_SHIFT * max(camera.width, camera.height):
        _adjust(pycolmap, before, threads, most_entries, free_centre=False)
        return before
    return model


def _adjust(
    pycolmap: Any, model: Any, threads: int, most_entries: int, *, free_centre: bool
) -> None:
    for _ in range(_FINAL_ROUNDS):
        read = _Model(model)
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


class _Model:
    """A COLMAP model of one SIMPLE_RADIAL camera, as arrays."""

    def __init__(self, model: Any) -> None:
        self._model = model
        (self._camera,) = model.cameras.values()
        images = [image for _, image in sorted(model.images.items()) if image.has_pose]
        self._frames = [image.frame for image in images]
        self._points = sorted(model.point3D_ids())
        place = {image.image_id: position for position, image in enumerate(images)}
        features = [np.array([feature.xy for feature in image.points2D]) for image in images]
        cameras, owners, pixels, points = [], [], [], []
        for owner, identity in enumerate(self._points):
            point = model.point3D(identity)
            points.append(point.xyz)
            for element in point.track.elements:
                camera = place[element.image_id]
                cameras.append(camera)
                owners.append(owner)
                pixels.append(features[camera][element.point2D_idx])
        poses = np.array([image.cam_from_world().matrix() for image in images])
        state = State(
            np.ascontiguousarray(poses[:, :, :3]),
            np.ascontiguousarray(poses[:, :, 3]),
            np.array(self._camera.params, np.float64),
            np.array(points, np.float64).reshape(-1, 3),
        )
        self.bundle = Bundle.of(
            state,
            np.array(cameras, np.int64),
            np.array(owners, np.int64),
            np.array(pixels, np.float64).reshape(-1, 2),
        )

    def write_back(self, pycolmap: Any, state: State) -> None:
        """Write what was adjusted to the model."""
        for frame, rotation, shift in zip(self._frames, state.rotations, state.shifts, strict=True):
            # Each frame is one camera, whose own pose in it is the identity.
            frame.rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), shift)
        self._camera.params = state.lens
        for identity, place in zip(self._points, state.points, strict=True):
            self._model.point3D(identity).xyz = place


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
