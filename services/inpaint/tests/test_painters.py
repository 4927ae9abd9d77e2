"""Painters: what every one must keep, and that the exemplar painter copies what it should."""

from __future__ import annotations

import numpy as np
import pytest

from epipar_inpaint.painters import PAINTER_NAMES, make_painter
from epipar_kit.errors import InvalidInputError
from epipar_scene.arrays import U8, Bools


def stripes(height: int = 96, width: int = 128, period: int = 12) -> np.ndarray:
    """A picture of vertical stripes that repeat."""
    wave = 127 + 100 * np.sin(2 * np.pi * np.arange(width) / period)
    return np.repeat(np.tile(wave, (height, 1))[..., None], 3, axis=2).astype(np.uint8)


def square_hole(shape: tuple[int, int], side: int = 24) -> np.ndarray:
    hole = np.zeros(shape, bool)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    hole[top : top + side, left : left + side] = True
    return hole


def paint(name: str, images: U8, hole: Bools, forbidden: Bools | None = None, seed: int = 0) -> U8:
    forbidden = np.zeros_like(hole) if forbidden is None else forbidden
    return make_painter(name).paint(images, hole, forbidden, None, 1.0, seed)


@pytest.mark.parametrize("name", PAINTER_NAMES)
def test_known_pixels_come_back_bit_by_bit(name, rng):
    images = rng.integers(0, 256, (3, 64, 80, 3), np.uint8)
    hole = rng.random((3, 64, 80)) < 0.2
    hole[0, 20:40, 20:50] = True
    hole[2] = False
    painted = paint(name, images, hole)
    assert (painted[~hole] == images[~hole]).all()
    assert painted.dtype == np.uint8
    assert painted.shape == images.shape


@pytest.mark.parametrize("name", PAINTER_NAMES)
def test_what_stands_in_the_hole_is_ignored(name, rng):
    image = stripes()[None]
    hole = square_hole(image.shape[1:3])[None]
    other = image.copy()
    other[hole] = rng.integers(0, 256, (hole.sum(), 3))
    assert (paint(name, image, hole) == paint(name, other, hole)).all()


@pytest.mark.parametrize("name", PAINTER_NAMES)
def test_the_same_seed_gives_the_same_picture(name, rng):
    images = rng.integers(0, 256, (1, 90, 90, 3), np.uint8)
    hole = square_hole((90, 90))[None]
    assert (paint(name, images, hole, seed=3) == paint(name, images, hole, seed=3)).all()


def test_exemplars_continue_a_pattern_that_smoothing_loses():
    image = stripes()
    hole = square_hole(image.shape[:2])
    broken = np.where(hole[..., None], 0, image).astype(np.uint8)
    errors = {
        name: np.abs(paint(name, broken[None], hole[None])[0].astype(int) - image)[hole].mean()
        for name in ("exemplar", "telea")
    }
    assert errors["exemplar"] < 0.5 * errors["telea"]


def test_nothing_is_copied_from_forbidden_pixels():
    image = np.full((80, 120, 3), 90, np.uint8)
    image[:, 60:] = (250, 0, 0)
    hole = np.zeros((80, 120), bool)
    hole[30:50, 40:60] = True
    forbidden = np.zeros_like(hole)
    forbidden[:, 60:] = True
    painted = paint("exemplar", image[None], hole[None], forbidden[None])[0]
    assert (painted[hole] == 90).all()
    assert (painted[forbidden] == image[forbidden]).all()


@pytest.mark.parametrize("name", PAINTER_NAMES)
def test_a_picture_with_nothing_known_is_no_error(name):
    images = np.full((1, 40, 40, 3), 7, np.uint8)
    hole = np.ones((1, 40, 40), bool)
    assert paint(name, images, hole).shape == images.shape


@pytest.mark.parametrize(
    ("images", "hole"),
    [
        (np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 8, 8), bool)),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)),
        (np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 9), bool)),
        (np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8), np.uint8)),
    ],
)
def test_arrays_that_are_no_batch_are_refused(images, hole):
    with pytest.raises(ValueError, match="must be"):
        paint("exemplar", images, hole)


def test_an_unknown_painter_is_refused_with_those_there_are():
    with pytest.raises(InvalidInputError, match="exemplar") as refused:
        make_painter("oil")
    assert (refused.value.reason, refused.value.field) == ("BAD_OPTION", "options.painter")


def test_capabilities_say_how_a_painter_is_called():
    for name in PAINTER_NAMES:
        capabilities = make_painter(name).capabilities
        assert capabilities.batch in (1, 4)
        assert not capabilities.wants_init


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)
