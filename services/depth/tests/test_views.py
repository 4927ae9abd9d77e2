"""Source views: the right ones, and found without holding or asking the whole clip."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from epipar_depth.ragged import I32, Ragged
from epipar_depth.reconstruction import Lens, Reconstruction
from epipar_depth.views import choose_view
from epipar_scene.cameras import Intrinsics

_NEW_POINTS = 60  # that each frame is the first to see
_TRACK = 6  # frames before and after, in which they are seen
_SOURCES, _PLANES = 6, 128


def _walk(frames: int) -> Reconstruction:
    """Return cameras that step sideways past points which each of them sees for a while."""
    random = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, 0, 3] = 0.1 * np.arange(frames)
    poses[:, 1, 3] = random.uniform(-0.05, 0.05, frames)
    points = random.uniform([-1, -1, 2], [1, 1, 5], (frames * _NEW_POINTS, 3))
    points[:, 0] += np.repeat(poses[:, 0, 3], _NEW_POINTS)
    seen: list[list[I32]] = [[] for _ in range(frames)]
    for number in range(frames):
        fresh = np.arange(_NEW_POINTS, dtype=np.int32) + number * _NEW_POINTS
        for other in range(max(0, number - _TRACK), min(frames, number + _TRACK + 1)):
            seen[other].append(fresh[random.random(_NEW_POINTS) < 0.8])
    lens = Lens(Intrinsics(160, 120, 130.0, 130.0, 80.0, 60.0), 0.01)
    observations = Ragged.of([np.concatenate(parts) for parts in seen])
    return Reconstruction(lens, tuple(range(0, 2 * frames, 2)), poses, points, observations)


@pytest.fixture
def stored(tmp_path: Path) -> Reconstruction:
    """Forty frames as a worker reads them."""
    _walk(40).save(tmp_path / "reconstruction")
    return Reconstruction.load(tmp_path / "reconstruction")


def test_a_reconstruction_is_read_back_as_it_was(tmp_path: Path) -> None:
    model = _walk(10)
    model.save(tmp_path / "model")
    model.save(tmp_path / "model")  # a second one takes its place
    read = Reconstruction.load(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (read.lens, read.indices) == (model.lens, model.indices)
    for name in ("cam_to_world", "points"):
        np.testing.assert_array_equal(getattr(read, name), getattr(model, name))
    for one, other in ((read.observations, model.observations), (read.seers, model.seers)):
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.ends, other.ends)


def test_a_reconstruction_without_points_is_read_back(tmp_path: Path) -> None:
    lens = Lens(Intrinsics(160, 120, 130.0, 130.0, 80.0, 60.0), 0.0)
    nothing = Ragged.of([np.zeros(0, np.int32)] * 2)
    poses = np.tile(np.eye(4), (2, 1, 1))
    Reconstruction(lens, (0, 1), poses, np.zeros((0, 3)), nothing).save(tmp_path / "model")
    read = Reconstruction.load(tmp_path / "model")
    assert read.points.shape == (0, 3)
    assert choose_view(read, 0, _SOURCES, _PLANES) is None


def test_sources_share_the_most_points_of_all_views(stored: Reconstruction) -> None:
    """Against the whole table of shared points, counted pair by pair."""
    for frame in (0, 20, 39):
        view = choose_view(stored, frame, _SOURCES, _PLANES)
        assert view is not None
        mine = set(stored.observations[frame].tolist())
        shared = [len(mine & set(seen.tolist())) for seen in stored.observations]
        enough = {k for k, count in enumerate(shared) if count >= 20 and k != frame}
        assert set(view.sources) <= enough
        assert len(view.sources) == min(16, len(enough))


def test_choosing_a_view_holds_no_more_in_a_longer_clip(tmp_path: Path) -> None:
    most = {}
    for frames in (60, 600):
        _walk(frames).save(tmp_path / str(frames))
        tracemalloc.start()
        model = Reconstruction.load(tmp_path / str(frames))
        loaded = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        choose_view(model, frames // 2, _SOURCES, _PLANES)
        most[frames] = (loaded, tracemalloc.get_traced_memory()[1] - loaded)
        tracemalloc.stop()
    # The frame numbers, not the poses and points: these are 10 kB a frame here.
    assert most[600][0] - most[60][0] < 540 * 150
    assert most[600][1] < 1.2 * most[60][1]


def test_lists_are_turned_inside_out() -> None:
    lists = Ragged.of([np.array(x, np.int32) for x in ([3, 1], [], [1, 1, 0], [4])])
    holders = lists.inverted(6)
    assert [each.tolist() for each in holders] == [[2], [0, 2], [], [0], [3], []]
    values, numbers = holders.gathered(np.array([4, 1, 2], np.int32))
    assert values.tolist() == [3, 0, 2]
    assert numbers.tolist() == [4, 1, 1]
    with pytest.raises(IndexError, match="list 6"):
        holders[6]
    with pytest.raises(ValueError, match="end at 5"):
        Ragged(np.zeros(3, np.int32), np.array([5]))
