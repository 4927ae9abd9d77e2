"""Which frames are predicted together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epipar_depth.chunks.plan import Chunk, next_chunk


@given(st.integers(1, 400), st.integers(2, 90), st.floats(0.1, 0.9))
def test_every_frame_is_new_once_and_every_chunk_meets_the_world(total, size, share):
    done = 0
    while done < total:
        chunk = next_chunk(done, total, size, share)
        assert chunk.new == done
        assert len(chunk.frames) == min(size, total)
        assert len(chunk.old_frames) >= min(done, 1)
        assert chunk.stop <= total
        done = chunk.stop


def test_half_of_a_chunk_overlaps_and_the_last_one_is_filled():
    assert next_chunk(0, 100, 20, 0.5) == Chunk(0, 0, 20)
    assert next_chunk(20, 100, 20, 0.5) == Chunk(10, 20, 30)
    assert next_chunk(90, 93, 20, 0.5) == Chunk(73, 90, 93)


def test_a_short_video_is_one_chunk():
    assert next_chunk(0, 1, 60, 0.5) == Chunk(0, 0, 1)
    assert next_chunk(0, 2, 60, 0.5) == Chunk(0, 0, 2)


def test_smaller_chunks_go_on_where_larger_ones_stood():
    assert next_chunk(20, 100, 10, 0.5) == Chunk(15, 20, 25)


def test_what_is_no_chunk_is_refused():
    with pytest.raises(ValueError, match="done is 5"):
        next_chunk(5, 5, 10, 0.5)
    with pytest.raises(ValueError, match="size is 1"):
        next_chunk(0, 5, 1, 0.5)
    with pytest.raises(ValueError, match=r"overlap 1\.0"):
        next_chunk(0, 5, 4, 1.0)
    with pytest.raises(ValueError, match="first <= new < stop"):
        Chunk(3, 2, 9)
