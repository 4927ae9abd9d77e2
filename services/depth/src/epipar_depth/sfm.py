"""Structure from motion by pycolmap, in a process of its own: a failed check in it aborts.

SIFT only (its learned features abort without their models). One camera for all frames. After
incremental mapping one last adjustment also frees the principal point, with a robust loss: on a
cropped or stabilised video the lens is not centred, and leaving it so bends the whole path.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from epipar_depth.reconstruction import Lens, Reconstruction
from epipar_depth.world import normalise
from epipar_scene.arrays import F64
from epipar_scene.cameras import Intrinsics

Progress = Callable[[str, int, int], None]

STAGES = ("features", "matching", "mapping")
_FEATURES = 2048
# Most footage has enough features at its own size; only what has not is enlarged for more, which
# costs three times as much.
_PROBED_FRAMES = 6
_RICH = 900  # features that most of the probed frames must have
_RICH_FEATURES = 1024
_OVERLAP = 10  # neighbours in time that are matched, and as many at doubling distances
_LEAST_FRAMES_FOR_CENTRE = 20  # below, the principal point stays in the middle
_MOST_CENTRE_SHIFT = 0.05  # of the longer side; beyond, the adjustment is not believed
_TOLERANCE = 1e-5  # relative gain below which an adjustment ends
_FINAL_REPROJECTION_PX = 1.0
_FINAL_LOSS_PX = 0.25  # about what a good observation is off; beyond it, one counts less and less
_FINAL_ROUNDS = 3
_FINAL_ANGLE_DEG = 1.0
# COLMAP's TwoViewGeometry: planar, panoramic, or one of the two.
_NO_PARALLAX_CONFIGS = (4, 5, 6)
_VERIFIED_INLIERS = 15
_FOCAL_RANGE = (0.3, 5.0)  # of the longer side; a lens outside was invented by the adjustment
_MOST_RADIAL = 0.5

LOG_NAME = "colmap.log"
_STEP = re.compile(r"(Processed file|Processing image|Processing block) \[(\d+)")


@dataclass(frozen=True, slots=True)
class SfmTask:
    """What the process is to do.

    Attributes:
        frames: folder of the chosen frames, named 00000.png, 00001.png ...
        scratch: folder for the feature database and models; emptied first.
        result: .npz to write the largest model to.
        count: number of frames.
        sequential: match neighbours in time only.
        threads: for features and matching; mapping uses one, so that results repeat.
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
    forward = _Forward(progress)
    with _watched(task.scratch / LOG_NAME, forward, task.count):
        return _run(pycolmap, task, database, forward)


def _run(pycolmap: Any, task: SfmTask, database: Path, progress: Progress) -> SfmOutcome:
    _extract(pycolmap, task, database)
    progress("features", task.count, task.count)
    _match(pycolmap, task, database)
    progress("matching", task.count, task.count)
    pairs = _verified_pairs(database)
    flat = sum(config in _NO_PARALLAX_CONFIGS for config, _ in pairs)
    models = _map(pycolmap, task, database, progress)
    size = _picture_size(database)
    turn = turn_residual([homography for _, homography in pairs if homography is not None], size)
    if not models:
        return SfmOutcome((), len(pairs), flat, turn, True, 0.0, 0.0)
    best = _refine(pycolmap, models[0])
    angle, error = _median_angle_deg(best), float(best.compute_mean_reprojection_error())
    (camera,) = best.cameras.values()
    focal, radial = camera.params[0] / max(size), camera.params[3]
    plausible = bool(_FOCAL_RANGE[0] < focal < _FOCAL_RANGE[1] and abs(radial) < _MOST_RADIAL)
    if plausible:
        _reconstruction(best).save(task.result)
    sizes = tuple(int(model.num_reg_images()) for model in models)
    return SfmOutcome(sizes, len(pairs), flat, turn, plausible, angle, error)


def _extract(pycolmap: Any, task: SfmTask, database: Path) -> None:
    every = [f"{index:05d}.png" for index in range(task.count)]
    step = max(1, task.count // _PROBED_FRAMES)
    probe = task.scratch / "probe.db"
    _extract_from(pycolmap, task, probe, every[::step], enlarged=False)
    rich = float(np.median(_feature_counts(probe))) >= _RICH
    _extract_from(pycolmap, task, database, every, enlarged=not rich)


def _extract_from(
    pycolmap: Any, task: SfmTask, database: Path, names: list[str], *, enlarged: bool
) -> None:
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads = task.threads
    options.sift.max_num_features = _FEATURES if enlarged else _RICH_FEATURES
    options.sift.first_octave = -1 if enlarged else 0
    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "SIMPLE_RADIAL"
    pycolmap.extract_features(
        database,
        task.frames,
        image_names=names,
        camera_mode=pycolmap.CameraMode.SINGLE,
        reader_options=reader,
        extraction_options=options,
        device=pycolmap.Device.cpu,
    )


def _match(pycolmap: Any, task: SfmTask, database: Path) -> None:
    options = pycolmap.FeatureMatchingOptions()
    options.num_threads = task.threads
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = task.seed
    shared = {
        "matching_options": options,
        "verification_options": verification,
        "device": pycolmap.Device.cpu,
    }
    if task.sequential:
        pairing = pycolmap.SequentialPairingOptions()
        pairing.overlap = _OVERLAP
        pairing.loop_detection = False
        pycolmap.match_sequential(database, pairing_options=pairing, **shared)
    else:
        pycolmap.match_exhaustive(database, **shared)


def _map(pycolmap: Any, task: SfmTask, database: Path, progress: Progress) -> list[Any]:
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = 1
    options.random_seed = task.seed
    options.min_model_size = 3
    options.extract_colors = False
    options.triangulation.random_seed = task.seed
    options.mapper.random_seed = task.seed
    options.ba_global_function_tolerance = _TOLERANCE
    registered = 2

    def one_more() -> None:
        nonlocal registered
        registered = min(registered + 1, task.count)
        progress("mapping", registered, task.count)

    models_folder = task.scratch / "models"
    models_folder.mkdir()
    found = pycolmap.incremental_mapping(
        database, task.frames, models_folder, options, next_image_callback=one_more
    )
    return sorted(found.values(), key=lambda model: -model.num_reg_images())


def _refine(pycolmap: Any, model: Any) -> Any:
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
    options.ceres.solver_options.function_tolerance = _TOLERANCE
    options.ceres.solver_options.max_num_iterations = 40
    for _ in range(_FINAL_ROUNDS):
        pycolmap.bundle_adjustment(model, options)
        pycolmap.ObservationManager(model).filter_all_points3D(
            _FINAL_REPROJECTION_PX, _FINAL_ANGLE_DEG
        )


def _reconstruction(model: Any) -> Reconstruction:
    """Read poses, points and the camera out of a COLMAP model."""
    (camera,) = model.cameras.values()
    focal, cx, cy, radial = (float(value) for value in camera.params)
    lens = Lens(Intrinsics(int(camera.width), int(camera.height), focal, focal, cx, cy), radial)
    images = sorted((i for i in model.images.values() if i.has_pose), key=lambda i: i.name)
    point_ids = sorted(model.points3D)
    place = {point: position for position, point in enumerate(point_ids)}
    poses = np.tile(np.eye(4), (len(images), 1, 1))
    for pose, image in zip(poses, images, strict=True):
        world_to_cam = image.cam_from_world().matrix()
        pose[:3, :3] = world_to_cam[:, :3].T
        pose[:3, 3] = -world_to_cam[:, :3].T @ world_to_cam[:, 3]
    points = np.array([model.points3D[point].xyz for point in point_ids]).reshape(-1, 3)
    observed = tuple(
        np.array([place[p.point3D_id] for p in image.points2D if p.has_point3D()], np.int32)
        for image in images
    )
    indices = tuple(int(Path(image.name).stem) for image in images)
    return normalise(Reconstruction(lens, indices, poses, points, observed))


def _median_angle_deg(model: Any) -> float:
    """Return the median over points of the widest angle between two of their rays."""
    centres = {k: image.projection_center() for k, image in model.images.items() if image.has_pose}
    angles = []
    for point in model.points3D.values():
        rays = np.array([point.xyz - centres[e.image_id] for e in point.track.elements])
        rays /= np.linalg.norm(rays, axis=1, keepdims=True) + 1e-12
        angles.append(np.degrees(np.arccos(np.clip((rays @ rays.T).min(), -1, 1))))
    return float(np.median(angles)) if angles else 0.0


def _verified_pairs(database: Path) -> list[tuple[int, F64 | None]]:
    """Return configuration and homography of each verified image pair."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        rows = connection.execute(
            "SELECT config, H FROM two_view_geometries WHERE rows >= ? ORDER BY pair_id",
            (_VERIFIED_INLIERS,),
        ).fetchall()
    finally:
        connection.close()
    return [(int(config), _homography(blob)) for config, blob in rows]


def _homography(blob: bytes | None) -> F64 | None:
    if blob is None or len(blob) != 72:
        return None
    matrix = np.frombuffer(blob, np.float64).reshape(3, 3)
    return matrix if abs(np.linalg.det(matrix)) > 0 else None


def _feature_counts(database: Path) -> list[int]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return [int(row[0]) for row in connection.execute("SELECT rows FROM keypoints")]
    finally:
        connection.close()


def _picture_size(database: Path) -> tuple[int, int]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        width, height = connection.execute("SELECT width, height FROM cameras").fetchone()
    finally:
        connection.close()
    return int(width), int(height)


def turn_residual(homographies: list[F64], size: tuple[int, int]) -> float:
    """Return how far image pairs are from being explained by turns of one camera.

    A turn moves pixels by K R K^-1, whose middle part has three equal singular values for the
    right focal length. A sideways step t before a surface at distance d makes them differ by
    about |t| / d.

    Args:
        homographies: (3, 3) of each verified pair, pixels.
        size: (width, height) of the pictures.

    Returns:
        The 90th percentile over the pairs of the log of greatest over least singular value, for
        the focal length that makes it least; infinity without pairs.
    """
    if not homographies:
        return float("inf")
    stack = np.stack(homographies)
    least = np.inf
    for focal in np.geomspace(0.4, 4, 60) * max(size):
        camera = np.array([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1]])
        singular = np.linalg.svd(np.linalg.inv(camera) @ stack @ camera, compute_uv=False)
        spread = np.log(singular[:, 0] / np.maximum(singular[:, 2], 1e-12))
        least = min(least, float(np.percentile(spread, 90)))
    return float(least)


class _Forward:
    """Passes progress on and drops what comes of a stage already left: the log is read late."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._at = (0, 0)

    def __call__(self, stage: str, done: int, total: int) -> None:
        with self._lock:
            if (STAGES.index(stage), done) >= self._at:
                self._at = (STAGES.index(stage), done)
                self._progress(stage, done, total)


@contextmanager
def _watched(log: Path, progress: Progress, total: int) -> Iterator[None]:
    """Send what native code prints to a file, and read its progress from there twice a second.

    Asking the database instead would lock it under COLMAP, which aborts.
    """
    done = threading.Event()
    thread = threading.Thread(target=_follow, args=(log, done, progress, total), daemon=True)
    kept = os.dup(2)
    with log.open("ab") as stream:
        os.dup2(stream.fileno(), 2)
    thread.start()
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        done.set()
        thread.join()


def _follow(log: Path, done: threading.Event, progress: Progress, total: int) -> None:
    with log.open("r", encoding="utf-8", errors="replace") as stream:
        while not done.wait(0.5):
            for line in stream:
                found = _STEP.search(line)
                if found:
                    stage = "features" if found[1] == "Processed file" else "matching"
                    progress(stage, min(int(found[2]), total), total)
