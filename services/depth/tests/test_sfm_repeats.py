"""Structure from motion gives the same poses to the last bit, whatever its threads and runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from epipar_depth.processes import run_alone
from epipar_depth.reconstruction import Reconstruction
from epipar_depth.sfm import SfmTask, run_sfm
from epipar_depth.workfolder import WorkFolder


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
