"""Mask polarities: one meaning inside, and what others write for it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from patchmatch import inpaint as patchmatch_inpaint

from epipar_inpaint.masks.polarity import (
    hole_from_keep_bytes,
    hole_from_nerfstudio_mask,
    hole_from_opencv_mask,
    keep_bytes_from_hole,
    opencv_mask_from_hole,
    xphoto_mask_from_hole,
)

HOLES = arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9)))


@given(HOLES)
@settings(deadline=None, derandomize=True, database=None)
def test_every_polarity_brings_the_hole_back(hole):
    np.testing.assert_array_equal(hole_from_keep_bytes(keep_bytes_from_hole(hole)), hole)
    np.testing.assert_array_equal(hole_from_nerfstudio_mask(keep_bytes_from_hole(hole)), hole)
    np.testing.assert_array_equal(hole_from_opencv_mask(opencv_mask_from_hole(hole)), hole)
    for levels in (keep_bytes_from_hole(hole), opencv_mask_from_hole(hole)):
        assert levels.dtype == np.uint8
        assert set(np.unique(levels)) <= {0, 255}


def test_a_gray_value_is_refused_with_its_place():
    levels = np.full((4, 6), 255, np.uint8)
    levels[2, 5] = 7
    levels[3, 0] = 254
    with pytest.raises(ValueError, match=r"2 pixels .* 7 at x 5, y 2"):
        hole_from_keep_bytes(levels)


@pytest.fixture
def holed():
    """A plain picture with a wrong colour in a hole."""
    image = np.full((40, 40, 3), (60, 120, 180), np.uint8)
    hole = np.zeros((40, 40), np.bool_)
    hole[15:22, 12:20] = True
    image[hole] = (255, 0, 0)
    return image, hole


def test_opencv_fills_what_we_call_a_hole(holed):
    image, hole = holed
    filled = cv2.inpaint(image, opencv_mask_from_hole(hole), 3, cv2.INPAINT_TELEA)
    np.testing.assert_allclose(filled[hole], np.tile((60, 120, 180), (hole.sum(), 1)), atol=2)


def test_patchmatch_fills_what_we_call_a_hole(holed):
    image, hole = holed
    filled = patchmatch_inpaint(image, opencv_mask_from_hole(hole), patch_size=3)
    np.testing.assert_allclose(filled[hole], np.tile((60, 120, 180), (hole.sum(), 1)), atol=2)


def test_xphoto_calls_zero_the_hole():
    hole = np.array([[True, False]])
    assert xphoto_mask_from_hole(hole).tolist() == [[0, 255]]
