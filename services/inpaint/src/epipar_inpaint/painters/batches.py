"""What all painters share: checking a batch, and putting known pixels back."""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import U8, Bools


def check_batch(images: U8, hole: Bools, forbidden: Bools, most: int) -> None:
    """Refuse arrays that are no batch of pictures with holes.

    Raises:
        ValueError: a shape or type is another, or there are more pictures than `most`.
    """
    shape = images.shape
    if images.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3:
        raise ValueError(f"images are {images.dtype} {shape}; they must be uint8 (K, H, W, 3)")
    if shape[0] > most:
        raise ValueError(f"{shape[0]} pictures at a time; at most {most} are taken")
    for name, mask in (("hole", hole), ("forbidden", forbidden)):
        if mask.dtype != np.bool_ or mask.shape != shape[:3]:
            raise ValueError(f"{name} is {mask.dtype} {mask.shape}; it must be bool {shape[:3]}")


def composite(images: U8, hole: Bools, painted: U8) -> U8:
    """Return the painted pictures with every pixel outside the holes as it was."""
    return np.where(hole[..., None], painted, images).astype(np.uint8)
