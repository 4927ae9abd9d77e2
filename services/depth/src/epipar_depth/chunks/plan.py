"""Which frames are predicted together next."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames first to stop - 1; those from new on are in no chunk before.

    Raises:
        ValueError: the order is not 0 <= first <= new < stop.
    """

    first: int
    new: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.new < self.stop:
            raise ValueError(f"chunk is {self}; it must be 0 <= first <= new < stop")

    @property
    def frames(self) -> range:
        """All frames."""
        return range(self.first, self.stop)

    @property
    def old_frames(self) -> range:
        """Those that the world has already."""
        return range(self.first, self.new)

    @property
    def new_frames(self) -> range:
        """Those that the world gets."""
        return range(self.new, self.stop)


def next_chunk(done: int, total: int, size: int, overlap_share: float) -> Chunk:
    """Return the chunk that goes on where ``done`` frames of ``total`` are in the world.

    The last one is filled: it begins earlier rather than be short. Every chunk but the first has
    at least one frame of the world and at least one new one.

    Args:
        done: frames that the world has; fewer than total.
        total: frames in all.
        size: frames of a chunk, at least 2.
        overlap_share: of them, those that the world has already; 0..1, both excluded.

    Raises:
        ValueError: a value is not as above.
    """
    if not 0 <= done < total:
        raise ValueError(f"done is {done}; it must be 0 to {total - 1}")
    if size < 2 or not 0 < overlap_share < 1:
        raise ValueError(f"size is {size}, overlap {overlap_share}; must be >= 2 and in 0..1")
    if done == 0:
        return Chunk(0, 0, min(size, total))
    overlap = min(max(1, round(size * overlap_share)), size - 1, done)
    stop = min(done - overlap + size, total)
    return Chunk(max(0, min(done - overlap, stop - size)), done, stop)
