"""transforms.json: lossless both ways, shared values at the top, and what is refused."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epipar_scene import Frame, Intrinsics, SceneFormatError
from epipar_scene.geometry import look_at
from epipar_scene.transforms import Transforms, json_from_transforms, transforms_from_json

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
cameras = st.builds(
    Intrinsics,
    st.integers(1, 3) | st.integers(1, 10**5),
    st.integers(1, 3),
    st.just(0.1) | st.floats(1e-3, 1e6),
    st.floats(1e-3, 1e6),
    st.just(1 / 3) | numbers,
    numbers,
)


@st.composite
def frame_lists(draw):
    names = draw(
        st.lists(st.from_regex(r"[a-z0-9][a-z0-9_.-]{0,8}", fullmatch=True), min_size=1, max_size=5,
                 unique=True)
    )  # fmt: skip
    frames = []
    for name in names:
        seed = draw(st.integers(0, 2**32 - 1))
        rng = np.random.default_rng(seed)
        pose = look_at(tuple(rng.normal(size=3) * 10.0 ** rng.integers(-8, 8)), (0, 0, 1))
        source = draw(st.integers(0, 10**6) | st.text(min_size=1, max_size=9))
        suffix = draw(st.sampled_from([".jpg", ".png"]))
        frames.append(Frame(name, draw(cameras), pose, source, suffix))
    return tuple(frames)


def assert_same(read: Transforms, written: Transforms) -> None:
    assert (read.has_masks, read.has_sparse_points) == (
        written.has_masks,
        written.has_sparse_points,
    )
    assert len(read.frames) == len(written.frames)
    for one, other in zip(read.frames, written.frames, strict=True):
        np.testing.assert_array_equal(one.cam_to_world, other.cam_to_world)
        assert (one.name, one.intrinsics, one.source_frame, one.image_suffix) == (
            other.name,
            other.intrinsics,
            other.source_frame,
            other.image_suffix,
        )


@given(frame_lists(), st.booleans(), st.booleans())
def test_transforms_come_back_from_their_json_text_bit_for_bit(frames, masks, sparse):
    written = Transforms(frames, has_masks=masks, has_sparse_points=sparse)
    text = json.dumps(json_from_transforms(written))
    assert_same(transforms_from_json(json.loads(text)), written)


def two_frames(second: Intrinsics | None = None) -> tuple[Frame, ...]:
    first = Intrinsics(8, 6, 7.5, 7.25, 4, 3)
    cameras = (first, second or first)
    poses = (np.eye(4), look_at((1, 0, 0), (0, 0, 4)))
    return tuple(Frame(f"frame_{i:05d}", cameras[i], poses[i], i) for i in range(2))


def valid_json() -> dict[str, Any]:
    return copy.deepcopy(json_from_transforms(Transforms(two_frames())))


def test_the_file_holds_what_the_scene_folder_promises():
    value = valid_json()
    assert {k: v for k, v in value.items() if k != "frames"} == {
        "camera_model": "OPENCV",
        "w": 8, "h": 6, "fl_x": 7.5, "fl_y": 7.25, "cx": 4.0, "cy": 3.0,
        "k1": 0.0, "k2": 0.0, "p1": 0.0, "p2": 0.0,
        "orientation_override": "none",
    }  # fmt: skip
    assert value["frames"][0] == {
        "file_path": "images/frame_00000.jpg",
        "depth_file_path": "depth/frame_00000.npy",
        "confidence_file_path": "confidence/frame_00000.png",
        "source_frame": 0,
        # A camera at the origin that looks along +z with y down, in OpenGL axes.
        "transform_matrix": [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]],
    }


def test_only_what_differs_stands_in_the_frames():
    value = json_from_transforms(Transforms(two_frames(Intrinsics(8, 9, 7.5, 7, 4, 4.5))))
    assert {"w", "fl_x", "cx"} <= value.keys()
    assert not {"h", "fl_y", "cy"} & value.keys()
    for frame in value["frames"]:
        assert {"h", "fl_y", "cy"} <= frame.keys()
        assert not {"w", "fl_x", "cx"} & frame.keys()


def changed(path: list[Any], new: Any) -> dict[str, Any]:
    value = valid_json()
    target: Any = value
    for key in path[:-1]:
        target = target[key]
    if new is KeyError:
        del target[path[-1]]
    else:
        target[path[-1]] = new
    return value


@pytest.mark.parametrize(
    ("path", "new", "field"),
    [
        (["frames"], KeyError, "frames"),
        (["frames"], [], "frames"),
        (["frames"], {}, "frames"),
        (["frames", 1], 7, "frames[1]"),
        (["camera_model"], "OPENCV_FISHEYE", "camera_model"),
        (["k1"], 0.01, "k1"),
        (["frames", 0, "p2"], 0.01, "frames[0].p2"),
        (["fl_x"], KeyError, "frames[0].fl_x"),
        (["fl_x"], "7", "frames[0].fl_x"),
        (["fl_x"], -7, "frames[0]"),
        (["w"], 8.5, "frames[0].w"),
        (["frames", 1, "w"], 9, "frames[1].w"),
        (["frames", 1, "file_path"], KeyError, "frames[1]"),
        (["frames", 1, "file_path"], "images/../../etc/passwd.jpg", "frames[1].file_path"),
        (["frames", 1, "file_path"], "/images/frame_00001.jpg", "frames[1].file_path"),
        (["frames", 1, "file_path"], "images/frame_00001.tif", "frames[1]"),
        (["frames", 1, "file_path"], "images/frame_00000.jpg", "frames[1].depth_file_path"),
        (["frames", 1, "depth_file_path"], "/etc/shadow", "frames[1].depth_file_path"),
        (["frames", 1, "confidence_file_path"], KeyError, "frames[1].confidence_file_path"),
        (["frames", 1, "mask_path"], "masks/x.png", "frames[1].mask_path"),
        (["frames", 1, "mask_path"], "masks/input/color/frame_00001.png", "mask_path"),
        (["frames", 1, "source_frame"], 1.5, "frames[1].source_frame"),
        (["frames", 1, "transform_matrix"], KeyError, "frames[1].transform_matrix"),
        (["frames", 1, "transform_matrix", 0], [1, 2, 3], "frames[1].transform_matrix"),
        (["frames", 1, "transform_matrix", 0, 0], "1", "frames[1].transform_matrix"),
        (["frames", 1, "transform_matrix", 0, 0], float("nan"), "frames[1]"),
        (["frames", 1, "transform_matrix", 0, 0], 5, "frames[1]"),
        (["ply_file_path"], "../points.ply", "ply_file_path"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field(path, new, field):
    with pytest.raises(SceneFormatError) as caught:
        transforms_from_json(changed(path, new), file="transforms.json")
    assert caught.value.field == field


def test_a_name_given_twice_is_refused():
    value = valid_json()
    value["frames"].append(value["frames"][0])
    with pytest.raises(SceneFormatError, match="'frame_00000' is given twice"):
        transforms_from_json(value)


def test_keys_of_other_tools_are_ignored():
    value = changed(["frames", 0, "sharpness"], 12.5)
    value["applied_scale"] = 1.0
    assert len(transforms_from_json(value).frames) == 2
