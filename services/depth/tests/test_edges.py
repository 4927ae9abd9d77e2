"""Sharpening depth edges, on a textured square in front of a textured wall."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from epipar_depth.edges import EdgeSettings, sharpen_edges
from epipar_depth.sgm import Aggregated
from epipar_depth.sweep import PlaneRange, pack_neighbourhoods, plane_homographies
from epipar_scene.arrays import F32, U8, U32, Bools

_SHAPE = (72, 96)
_K = np.array([[90.0, 0, 48], [0, 90, 36], [0, 0, 1]])
_RANGE = PlaneRange(1.5, 6.0, 61)
_FRONT, _WALL = 2.0, 4.0  # exact trial depths: planes 40 and 10
_FRONT_PLANE, _WALL_PLANE = 40.0, 10.0


@dataclass(frozen=True)
class Scene:
    """What the sharpening reads, and the square's true outline."""

    reference: U8
    sources: U32
    homographies: F32
    square: Bools


def _texture(rng: np.random.Generator, low: int, high: int) -> U8:
    noise = cv2.GaussianBlur(rng.normal(size=_SHAPE), (0, 0), 1.2)
    noise = (noise - noise.min()) / (noise.max() - noise.min())
    return np.asarray(low + (high - low) * noise, np.uint8)


@pytest.fixture
def scene(rng: np.random.Generator) -> Scene:
    """Return six views, around the reference, of a bright square in front of a darker wall."""
    wall, front = _texture(rng, 20, 120), _texture(rng, 140, 250)
    square = np.zeros(_SHAPE, bool)
    square[22:50, 34:62] = True
    maps, sources = [], []
    for shift in ([0.2, 0], [-0.2, 0], [0, 0.2], [0, -0.2], [0.15, 0.15], [-0.15, -0.15]):
        pose = np.eye(4)
        pose[:2, 3] = shift
        h = plane_homographies(_K, _K, pose, _RANGE)
        size = (_SHAPE[1], _SHAPE[0])
        near, far = h[round(_FRONT_PLANE)], h[round(_WALL_PLANE)]
        picture = cv2.warpPerspective(wall, far, size, borderMode=cv2.BORDER_REFLECT)
        covered = cv2.warpPerspective(square.astype(np.float32), near, size) > 0.5
        picture[covered] = cv2.warpPerspective(front, near, size)[covered]
        maps.append(h)
        sources.append(pack_neighbourhoods(np.asarray(picture, np.uint8)))
    return Scene(np.where(square, front, wall), np.stack(sources), np.stack(maps), square)


def _matched(outline: Bools) -> Aggregated:
    plane = np.where(outline, np.float32(_FRONT_PLANE), np.float32(_WALL_PLANE))
    return Aggregated(plane, np.full(_SHAPE, 7, np.uint8), np.full(_SHAPE, 2, np.float32))


def _sharpened(scene: Scene, matched: Aggregated) -> Aggregated:
    return sharpen_edges(matched, scene.reference, scene.sources, scene.homographies, _RANGE)


def _beyond(mask: Bools, pixels: int) -> Bools:
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


@pytest.mark.parametrize("error_px", [3, -3])
def test_a_square_too_wide_or_too_narrow_gets_its_rim_back_within_a_pixel(
    scene: Scene, error_px: int
) -> None:
    outline = _beyond(scene.square, 3) if error_px > 0 else ~_beyond(~scene.square, 3)

    found = _sharpened(scene, _matched(outline)).plane > (_FRONT_PLANE + _WALL_PLANE) / 2

    rim = _beyond(scene.square, 1) & _beyond(~scene.square, 1)
    assert (outline != scene.square)[~rim].sum() > 150
    assert (found != scene.square)[~rim].sum() <= 4


def test_a_right_rim_stays_and_so_does_everything_far_from_it(scene: Scene) -> None:
    matched = _matched(scene.square)

    found = _sharpened(scene, matched)

    rim = _beyond(scene.square, 1) & _beyond(~scene.square, 1)
    assert (found.plane != matched.plane)[~rim].sum() <= 4
    far = ~(_beyond(scene.square, 6) & _beyond(~scene.square, 6))
    assert np.array_equal(found.plane[far], matched.plane[far])


def test_a_step_below_the_least_one_is_no_edge(scene: Scene) -> None:
    matched = _matched(_beyond(scene.square, 3))  # 4.0 and 2.0 m: a step of a factor of 2

    found = sharpen_edges(
        matched,
        scene.reference,
        scene.sources,
        scene.homographies,
        _RANGE,
        EdgeSettings(least_step=1.1),
    )

    assert np.array_equal(found.plane, matched.plane)


def test_a_pixel_that_no_source_sees_keeps_its_depth(scene: Scene) -> None:
    away = scene.homographies.copy()
    away[:, :, :2, 2] += 1000 * away[:, :, 2:, 2]
    matched = _matched(_beyond(scene.square, 3))

    found = sharpen_edges(matched, scene.reference, scene.sources, away, _RANGE)

    assert np.array_equal(found.plane, matched.plane)


@pytest.mark.parametrize(
    "wrong", [{"radius_px": 0}, {"half_px": 0}, {"grey_scale": 0.0}, {"margin": -0.1}]
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="edge settings"):
        EdgeSettings(**wrong)  # type: ignore[arg-type]  # one name at a time
