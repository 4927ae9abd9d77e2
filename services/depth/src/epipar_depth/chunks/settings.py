"""How chunks are made and joined."""

from __future__ import annotations

from dataclasses import dataclass

from epipar_kit.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class JoinSettings:
    """Settings of the joiner.

    Attributes:
        chunk_frames: frames predicted at once; fewer after running out of memory.
        least_chunk_frames: below so many the joiner gives up.
        overlap_share: of a chunk's frames, those that the world has already.
        samples: pixels of a frame by which chunks are aligned, about.
        tolerance: distance over depth up to which a point agrees with the world.
        least_inlier_share: of the overlap's weight that must agree, else the joint has failed.
        camera_weight: of all cameras of an overlap against all its points.
        close_loops: look for places that return, where pictures are given.
        loop_frames: frames from each of the two visits that are predicted together.
        seed: of everything random.

    Raises:
        InvalidInputError: BAD_OPTION, a value is out of its range.
    """

    chunk_frames: int = 60
    least_chunk_frames: int = 4
    overlap_share: float = 0.5
    samples: int = 1200
    tolerance: float = 0.1
    least_inlier_share: float = 0.3
    camera_weight: float = 0.1
    close_loops: bool = True
    loop_frames: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        _check("chunk_frames", self.chunk_frames, 2, 1000)
        _check("least_chunk_frames", self.least_chunk_frames, 2, self.chunk_frames)
        _check("overlap_share", self.overlap_share, 0.1, 0.9)
        _check("samples", self.samples, 16, 100_000)
        _check("tolerance", self.tolerance, 0.001, 1)
        _check("least_inlier_share", self.least_inlier_share, 0, 1)
        _check("camera_weight", self.camera_weight, 0, 10)
        _check("loop_frames", self.loop_frames, 1, 100)
        _check("seed", self.seed, 0, 2**31 - 1)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        name = f"options.chunks.{name}"
        raise InvalidInputError(
            "BAD_OPTION", name, f"{name} is {value!r}; it must be {low} to {high}"
        )
