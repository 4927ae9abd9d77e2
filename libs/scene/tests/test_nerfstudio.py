"""The scene folder is a nerfstudio dataset: by its rules, decoded here again, and by itself.

The first half reads transforms.json as nerfstudio 1.1.5 does, written from the rules of its
nerfstudio_dataparser and cameras and without any code of ours: the keys it needs, which of two
values wins, how it sorts, orients, centres and scales, what it makes of depth and masks, and where
its rays go. The second half runs the real dataparser where EPIPAR_NERFSTUDIO_PYTHON names a Python
that has it.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epipar_scene import SceneFolder, SceneWriter
from epipar_scene.geometry import backproject

TOOL = Path(__file__).parents[3] / "tools" / "check_nerfstudio.py"
INTRINSICS_KEYS = ("fl_x", "fl_y", "cx", "cy", "h", "w")
DISTORTION_KEYS = ("k1", "k2", "k3", "p1", "p2", "distortion_params")


@dataclass(frozen=True)
class View:
    """What nerfstudio knows of one frame."""

    image_path: Path
    camera: dict[str, float]
    pose: np.ndarray[Any, Any]
    depth_path: Path | None
    mask_path: Path | None


@dataclass(frozen=True)
class Dataset:
    """What its dataparser returns: views in its own space, and the way there from the file's."""

    views: list[View]
    shift: np.ndarray[Any, Any]
    scale: float
    sparse_path: Path | None


def parse(root: Path) -> Dataset:
    """Read a dataset by nerfstudio's rules, at its default settings and eval_mode "all"."""
    meta = json.loads((root / "transforms.json").read_text())
    assert meta["camera_model"] == "OPENCV"  # a key of CAMERA_MODEL_TO_TYPE: perspective
    # Distortion is read at the top when any of its keys stands there, else in each frame.
    for holder in [meta] if any(k in meta for k in DISTORTION_KEYS) else meta["frames"]:
        assert all(holder.get(key, 0.0) == 0.0 for key in (*DISTORTION_KEYS, "k4"))
    # Splits by file lists would replace the split by fraction.
    assert not any(f"{split}_filenames" in meta for split in ("train", "val", "test"))
    assert meta["orientation_override"] == "none"  # replaces orientation_method "up"
    assert "applied_transform" not in meta
    assert "applied_scale" not in meta
    frames = sorted(meta["frames"], key=lambda frame: root / frame["file_path"])
    # A top-level value wins for every frame; else each frame must have its own.
    cameras = [{k: float(meta[k] if k in meta else f[k]) for k in INTRINSICS_KEYS} for f in frames]
    for key in ("mask_path", "depth_file_path"):
        assert sum(key in frame for frame in frames) in (0, len(frames))
    poses = np.array([frame["transform_matrix"] for frame in frames]).astype(np.float32)
    # center_method "poses", orientation "none", auto_scale_poses.
    shift = -poses[:, :3, 3].mean(axis=0)
    poses[:, :3, 3] += shift
    scale = 1.0 / float(np.abs(poses[:, :3, 3]).max())
    poses[:, :3, 3] *= np.float32(scale)
    views = [
        View(
            root / frame["file_path"],
            camera,
            pose[:3],
            root / frame["depth_file_path"] if "depth_file_path" in frame else None,
            root / frame["mask_path"] if "mask_path" in frame else None,
        )
        for frame, camera, pose in zip(frames, cameras, poses, strict=True)
    ]
    sparse = root / meta["ply_file_path"] if "ply_file_path" in meta else None
    return Dataset(views, shift, scale, sparse)


def rays(view: View):
    """Return origin, unit directions and their norms for all pixel centres, row by row."""
    camera = view.camera
    rows, columns = np.meshgrid(np.arange(camera["h"]), np.arange(camera["w"]), indexing="ij")
    x = (columns + 0.5 - camera["cx"]) / camera["fl_x"]
    y = (rows + 0.5 - camera["cy"]) / camera["fl_y"]
    directions = np.stack([x, -y, -np.ones_like(x)], axis=-1).reshape(-1, 3)
    directions = directions @ view.pose[:, :3].T
    norms = np.linalg.norm(directions, axis=1, keepdims=True)
    return view.pose[:, 3], directions / norms, norms


def world_points(dataset: Dataset, view: View):
    """Return the points of one view in the file's world; depth_unit_scale_factor is 1.0."""
    origin, directions, norms = rays(view)
    assert view.depth_path is not None
    assert view.depth_path.suffix == ".npy"  # another suffix is read as a 16-bit image
    depth = np.load(view.depth_path).astype(np.float32) * 1.0 * dataset.scale
    assert depth.shape == (view.camera["h"], view.camera["w"])  # else it would be resized
    points = origin + directions * norms * depth.reshape(-1, 1)
    points[depth.ravel() <= 0] = np.nan
    return points / dataset.scale - dataset.shift


@pytest.mark.parametrize("same_camera", [True, False])
def test_by_nerfstudios_rules_every_pixel_is_the_same_world_point(write_scene, same_camera):
    root = write_scene(same_camera=same_camera).root
    folder, dataset = SceneFolder.open(root), parse(root)
    assert len(dataset.views) == len(folder.frames)
    for view, frame in zip(dataset.views, folder.frames, strict=True):
        assert view.image_path == root / frame.image_path
        ours = backproject(folder.depth(frame), frame.intrinsics, frame.cam_to_world)
        theirs = world_points(dataset, view)
        assert np.isfinite(ours).any()
        np.testing.assert_allclose(theirs, ours, atol=2e-5)


def test_its_rays_are_ours(write_scene):
    root = write_scene(same_camera=False).root
    folder, dataset = SceneFolder.open(root), parse(root)
    for view, frame in zip(dataset.views, folder.frames, strict=True):
        origin, directions, norms = rays(view)
        center = frame.cam_to_world[:3, 3]
        np.testing.assert_allclose(origin / dataset.scale - dataset.shift, center, atol=1e-5)
        one_ahead = np.ones(frame.shape, np.float32)
        ours = backproject(one_ahead, frame.intrinsics, frame.cam_to_world) - center
        np.testing.assert_allclose(directions * norms, ours, atol=1e-5)


def test_by_its_rules_images_and_masks_read_as_ours(write_scene):
    root = write_scene(masks=True).root
    folder, dataset = SceneFolder.open(root), parse(root)
    for view, frame in zip(dataset.views, folder.frames, strict=True):
        with Image.open(view.image_path) as image:
            pixels = np.array(image)
        assert pixels.shape == (view.camera["h"], view.camera["w"], 3)
        np.testing.assert_array_equal(pixels, folder.image(frame))
        assert view.mask_path is not None
        with Image.open(view.mask_path) as mask:
            levels = np.array(mask)
        assert levels.ndim == 2  # one channel, or it is refused
        np.testing.assert_array_equal(levels != 0, folder.mask(frame))  # non-zero = keep


def test_without_masks_of_the_input_no_frame_has_a_mask(write_scene):
    assert all(view.mask_path is None for view in parse(write_scene().root).views)


def test_the_frames_stand_in_the_order_into_which_it_sorts_them(tmp_path, write_scene, info):
    written = write_scene()
    writer = SceneWriter(tmp_path / "shuffled")
    for frame in written.frames:
        writer.write_image(frame.name, written.images[frame.name], ".png")
        depth = written.depths[frame.name]
        writer.write_depth(frame.name, depth, written.confidences[frame.name])
    writer.finish(info, [written.frames[i] for i in (2, 0, 3, 1)])
    seen = [view.image_path.stem for view in parse(writer.root).views]
    assert seen == [frame.name for frame in SceneFolder.open(writer.root).frames]


@pytest.mark.slow
@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("same_camera", [True, False])
def test_nerfstudio_itself_sees_what_we_wrote(write_scene, same_camera, masks):
    python = os.environ.get("EPIPAR_NERFSTUDIO_PYTHON")
    if not python:
        pytest.skip("EPIPAR_NERFSTUDIO_PYTHON names no Python that has nerfstudio")
    root = write_scene(same_camera=same_camera, masks=masks).root
    run = subprocess.run([python, TOOL, root], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["frames"] == 4
    assert result["agrees"]
