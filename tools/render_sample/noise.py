"""Tileable value noise, the grain of every texture."""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import F32


def value_noise(height: int, width: int, rows: int, columns: int, rng: np.random.Generator) -> F32:
    """Interpolate a rows x columns lattice of uniform values smoothly; (height, width) in [0, 1)."""
    lattice = rng.random((rows, columns), dtype=np.float32)
    top, down = _steps(height, rows)
    left, across = _steps(width, columns)
    low, right = (top + 1) % rows, (left + 1) % columns
    upper = lattice[top[:, None], left] * (1 - across) + lattice[top[:, None], right] * across
    lower = lattice[low[:, None], left] * (1 - across) + lattice[low[:, None], right] * across
    return np.asarray(upper * (1 - down[:, None]) + lower * down[:, None], np.float32)


def fractal_noise(
    height: int,
    width: int,
    rows: int,
    columns: int,
    rng: np.random.Generator,
    octaves: int = 5,
    persistence: float = 0.55,
) -> F32:
    """Sum octaves of value noise, each twice as fine; (height, width), mean 0, deviation 1."""
    total = np.zeros((height, width), np.float32)
    gain = 1.0
    for octave in range(octaves):
        fine_rows, fine_columns = rows << octave, columns << octave
        if fine_rows > height or fine_columns > width:
            break
        total += gain * value_noise(height, width, fine_rows, fine_columns, rng)
        gain *= persistence
    total -= total.mean()
    return np.asarray(total / (total.std() + 1e-6), np.float32)


def _steps(pixels: int, cells: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], F32]:
    """Return for every pixel its lattice cell and its smoothed place within the cell."""
    place = (np.arange(pixels, dtype=np.float64) + 0.5) * cells / pixels
    cell = np.floor(place).astype(np.int64)
    part = place - cell
    return cell % cells, np.asarray(part * part * (3 - 2 * part), np.float32)
