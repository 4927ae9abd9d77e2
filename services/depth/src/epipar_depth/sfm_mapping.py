"""Incremental mapping by COLMAP's parts, in which our bundle adjustment adjusts all frames.

Which frame is next, where it stands and which points it adds is COLMAP's, a step after the other on
one thread (Schönberger and Frahm 2016, Structure-from-motion revisited). Most of the time went into
adjusting all frames; ours does that on all threads, to the same bit for any number of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from epipar_depth.bundle import adjust, entries
from epipar_depth.sfm_adjust import MOST_ENTRIES
from epipar_depth.sfm_arrays import ModelArrays

_LEAST_FRAMES = 3  # of a model
# With fewer frames COLMAP adjusts them: the lens is then still open, and of maps whose first frames
# ours adjusted more fell apart (benchmarks/depth/README.md).
ADJUSTED_BY_COLMAP = 20
# Relative gain below which adjusting all frames ends. Where they are adjusted to less, or less
# often, maps of harder clips fall apart.
_TOLERANCE = 1e-6
_COLMAPS_TOLERANCE = 1e-5
_MOST_STEPS = 50
_MOST_FAILURES_OF_FEW = 30  # frames that do not fit a model of too few frames, before it is left
_RELAXATIONS = ("init_min_num_inliers", "init_min_tri_angle") * 2  # halved one after the other


class Mapping:
    """Grows models of the frames in one database.

    Args:
        pycolmap: the module.
        database: of matched features of one camera.
        scratch: an existing folder for intermediate files.
        threads: for adjusting all frames; the models are the same for any number.
        seed: of all random choices.
        registered: called after each frame that found its place.
        adjusted_by_colmap: frames below which COLMAP adjusts them all.
    """

    def __init__(
        self,
        pycolmap: Any,
        database: Path,
        scratch: Path,
        *,
        threads: int,
        seed: int,
        registered: Callable[[], None],
        adjusted_by_colmap: int = ADJUSTED_BY_COLMAP,
    ) -> None:
        self._pycolmap, self._scratch = pycolmap, scratch
        self._threads, self._adjusted_by_colmap = threads, adjusted_by_colmap
        self._registered = registered
        options = pycolmap.IncrementalPipelineOptions()
        options.num_threads = 1
        options.random_seed = seed
        options.min_model_size = _LEAST_FRAMES
        options.extract_colors = False
        options.ba_global_function_tolerance = _COLMAPS_TOLERANCE
        self._options = options
        with pycolmap.Database.open(database) as opened:
            self._pipeline = pycolmap.IncrementalPipeline(
                options, opened, pycolmap.ReconstructionManager()
            )
        self._frames = self._pipeline.database_cache.num_images()
        self._mapper = pycolmap.IncrementalMapper(self._pipeline.database_cache)
        self._limits = options.get_mapper()
        self._triangulation = options.get_triangulation()
        self._models: list[Any] = []

    def run(self) -> list[Any]:
        """Return COLMAP's models, largest first."""
        frames_are_left = self._frames > 0 and self._begin_models()
        for limit in _RELAXATIONS:
            if not frames_are_left or self._mapper.num_total_reg_images() == self._frames:
                break
            strict = getattr(self._limits, limit)
            setattr(self._limits, limit, type(strict)(strict / 2))
            self._mapper.reset_initialization_stats()
            frames_are_left = self._begin_models()
        return sorted(self._models, key=lambda model: -model.num_reg_images())

    def _begin_models(self) -> bool:
        """Begin models until no pair is left to begin with; False: laxer limits cannot help."""
        status = self._pycolmap.IncrementalPipelineStatus
        for _ in range(self._options.init_num_trials):
            model = self._pycolmap.Reconstruction()
            self._mapper.begin_reconstruction(model)
            begun = self._pipeline.initialize_reconstruction(self._mapper, self._limits, model)
            if begun == status.SUCCESS:
                self._grow(model)
            frames, placed = model.num_reg_images(), self._mapper.num_total_reg_images()
            kept = begun == status.SUCCESS and frames >= (_LEAST_FRAMES if self._models else 1)
            self._mapper.end_reconstruction(not kept)
            if kept:
                self._models.append(model)
            if begun == status.NO_INITIAL_PAIR:
                return True
            if begun == status.SUCCESS and (
                len(self._models) >= self._options.max_num_models or placed >= self._frames - 1
            ):
                return False
        return True

    def _grow(self, model: Any) -> None:
        """Add frames until none fits, even after adjusting all."""
        adjusted = model.num_reg_frames(), model.num_points3D()
        failed = False
        while self._mapper.num_shared_reg_images() < self._options.max_model_overlap:
            image = self._register_next(model)
            if image is None:
                if failed:
                    break
            else:
                self._add_points(image)
            if image is None or self._pipeline.check_run_global_refinement(model, *adjusted):
                self._adjust_all(model)
                adjusted = model.num_reg_frames(), model.num_points3D()
            if image is not None:
                self._registered()
            failed = image is None
        if adjusted != (model.num_reg_frames(), model.num_points3D()):
            self._adjust_all(model)

    def _register_next(self, model: Any) -> int | None:
        """Register the frame that fits best; by points, or else by matches alone."""
        for by_points in (True, False):
            register = (
                self._mapper.register_next_image
                if by_points
                else self._mapper.register_next_structure_less_image
            )
            candidates = self._mapper.find_next_images(self._limits, not by_points)
            for failures, image in enumerate(candidates):
                if failures > _MOST_FAILURES_OF_FEW and model.num_reg_images() < _LEAST_FRAMES:
                    break
                if register(self._limits, image):
                    return int(image)
        return None

    def _add_points(self, image: int) -> None:
        self._mapper.triangulate_image(self._triangulation, image)
        self._mapper.iterative_local_refinement(
            self._options.ba_local_max_refinements,
            self._options.ba_local_max_refinement_change,
            self._limits,
            self._options.get_local_bundle_adjustment(),
            self._triangulation,
            image,
        )

    def _adjust_all(self, model: Any) -> None:
        """Adjust all frames and drop what does not fit, until that changes little."""
        mapper = self._mapper
        mapper.complete_and_merge_tracks(self._triangulation)
        mapper.retriangulate(self._triangulation)
        for _ in range(self._options.ba_global_max_refinements):
            before = model.compute_num_observations()
            self._adjust(model)
            model.normalize()
            changed = mapper.complete_and_merge_tracks(self._triangulation)
            changed += mapper.filter_points(self._limits)
            if changed < self._options.ba_global_max_refinement_change * before:
                break
        mapper.clear_modified_points3D()
        mapper.filter_frames(self._limits)

    def _adjust(self, model: Any) -> None:
        if model.num_reg_frames() < self._adjusted_by_colmap:
            self._adjust_by_colmap()
            return
        self._mapper.observation_manager.filter_observations_with_negative_depth()
        read = ModelArrays(model, self._scratch)
        if not read.bundle.seen.owners.size:
            return
        if entries(read.bundle) > MOST_ENTRIES:
            self._adjust_by_colmap()
            return
        adjusted = adjust(
            read.bundle,
            loss_px=0.0,
            free_centre=False,
            tolerance=_TOLERANCE,
            most_steps=_MOST_STEPS,
            threads=self._threads,
        )
        read.write_back(self._pycolmap, adjusted.state)

    def _adjust_by_colmap(self) -> None:
        options = self._options.get_global_bundle_adjustment()
        self._mapper.adjust_global_bundle(self._limits, options)
