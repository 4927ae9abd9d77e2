"""How fast this machine moves bytes, and the least time that depth and export need for theirs.

python -m benchmarks.bandwidth

A limit here is the time of moving the bytes that cannot be spared, once, with nothing else to do.
What lies far above it is bound by arithmetic, not by memory or disk.
"""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # has no stubs

from epipar_depth.inputs import DenseSettings
from epipar_depth.match import MatchSettings

BLOCK_BYTES = 256 << 20
ROUNDS = 5
WORD_BYTES = 4
"""A source's pixel with its right, lower and lower right neighbours, as the sweep reads them."""
SIZE = (640, 480)


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """What a machine moves, bytes a second.

    Attributes:
        core: one thread copying in memory; bytes read and bytes written, together.
        cores: the same by as many threads as there are cores.
        disk: writing a file through to the disk.
        flops: float32 operations a second of a matrix product, one thread.
    """

    core: float
    cores: float
    disk: float
    flops: float

    def __str__(self) -> str:
        """Return it in words."""
        return (
            f"memory {self.core / 1e9:.1f} GB/s by one core, {self.cores / 1e9:.1f} by all "
            f"{_threads()}; disk {self.disk / 1e9:.2f} GB/s; "
            f"{self.flops / 1e9:.0f} GFLOP/s float32 by one core"
        )


def measure(folder: Path) -> Bandwidth:
    """Measure the machine, and the disk under `folder`; takes some seconds and 512 MB a core."""
    return Bandwidth(_copying(1), _copying(_threads()), _writing(folder), _multiplying())


def _threads() -> int:
    return len(os.sched_getaffinity(0))


def _copying(threads: int) -> float:
    pairs = [
        (np.ones(BLOCK_BYTES, np.uint8), np.ones(BLOCK_BYTES, np.uint8)) for _ in range(threads)
    ]
    times = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(ROUNDS):
            start = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(*pair), pairs))
            times.append(time.perf_counter() - start)
    return 2 * threads * BLOCK_BYTES / min(times)


def _writing(folder: Path) -> float:
    data = os.urandom(64 << 20)
    times = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryFile(dir=folder) as file:
            start = time.perf_counter()
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return len(data) / min(times)


def _multiplying() -> float:
    side = 1024
    matrix = np.ones((side, side), np.float32)
    times = []
    with threadpool_limits(1):
        for _ in range(ROUNDS):
            start = time.perf_counter()
            _ = matrix @ matrix
            times.append(time.perf_counter() - start)
    return 2 * side**3 / min(times)


def sweep_bytes(width: int, height: int) -> dict[str, int]:
    """Return the bytes of source pictures that matching one frame reads, by part.

    One word for each pixel, trial plane and source: all planes at half and at a quarter of the
    size, and the steps around the surface at full size.
    """
    dense, steps = DenseSettings(), 2 * MatchSettings().steps + 1
    full = width * height * dense.sources * WORD_BYTES
    return {
        "sweep at half size": full // 4 * dense.planes,
        "sweep at a quarter": full // 16 * dense.planes,
        "search at full size": full * steps,
    }


def main() -> None:
    """Print what the machine moves, and what a frame's matching needs of it."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        found = measure(Path(folder))
    print(f"{found}.\n")
    print(f"| depth of a frame of {SIZE[0]}x{SIZE[1]} | MB read | least s on one core |")
    print("|---|--:|--:|")
    parts = sweep_bytes(*SIZE)
    for name, size in {**parts, "all": sum(parts.values())}.items():
        # A copy moves each byte twice; a reader moves it once.
        print(f"| {name} | {size / 1e6:.0f} | {size / found.core:.3f} |")


if __name__ == "__main__":
    main()
