"""Structure from motion gives the same poses to the last bit, whatever its threads and runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from epipar_depth.processes import run_alone
from epipar_depth.reconstruction import Reconstruction
from epipar_depth.sfm import SfmTask, run_sfm
from epipar_depth.sfm_mapping import Mapping
from epipar_depth.workfolder import WorkFolder
from epipar_scene.similarity import umeyama


def test_poses_depend_neither_on_the_number_of_threads_nor_on_the_run(
    clip: Any, tmp_path: Path
) -> None:
    work = WorkFolder(tmp_path)
    for index, picture in enumerate(clip.pictures):
        work.save_frame(index, picture)
    models = []
    for run, threads in enumerate((1, 2, 2)):
        scratch, result = tmp_path / f"scratch {run}", tmp_path / f"model {run}"
        count = len(clip.pictures)
        task = SfmTask(work.frames, scratch, result, count, True, threads, 0)
        run_alone(partial(run_sfm, task), lambda *_: None)
        models.append(Reconstruction.load(result))
    one, *others = models
    assert len(one.indices) == 12
    for other in others:
        np.testing.assert_array_equal(one.cam_to_world, other.cam_to_world)
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.observations.values, other.observations.values)


def test_frames_are_placed_where_colmap_would_adjust_them_to(clip: Any, tmp_path: Path) -> None:
    import pycolmap

    work = WorkFolder(tmp_path)
    for index, picture in enumerate(clip.pictures):
        work.save_frame(index, picture)
    count = len(clip.pictures)
    scratch = tmp_path / "scratch"
    task = SfmTask(work.frames, scratch, tmp_path / "model", count, True, 2, 0)
    run_alone(partial(run_sfm, task), lambda *_: None)
    centres = []
    for adjusted_by_colmap in (0, count + 1):
        heard: list[None] = []
        (model,) = Mapping(
            pycolmap,
            scratch / "features.db",
            scratch,
            threads=2,
            seed=0,
            registered=partial(heard.append, None),
            adjusted_by_colmap=adjusted_by_colmap,
        ).run()
        assert len(heard) == count - 2
        images = sorted(model.images.values(), key=lambda image: image.name)
        centres.append(np.array([image.projection_center() for image in images]))
    own, theirs = centres
    assert len(own) == len(theirs) == count
    off = np.linalg.norm(umeyama(own, theirs).points(own) - theirs, axis=1)
    assert off.max() < 0.02 * np.linalg.norm(np.ptp(theirs, axis=0))


def test_no_matches_give_no_model(tmp_path: Path) -> None:
    import pycolmap

    database = tmp_path / "empty.db"
    pycolmap.Database.open(database).close()
    mapping = Mapping(pycolmap, database, tmp_path, threads=1, seed=0, registered=lambda: None)
    assert mapping.run() == []
