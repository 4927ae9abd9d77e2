"""What the points of the tiles weigh at least, beside what they weigh: python -m benchmarks.export.entropy.

Positions: the sorted Morton codes of a tile are coded by their gaps, the class of a gap (its number of
bits) at the classes' entropy, its lower bits as they are. Colours: the rows of the COLOR filter, each
channel's differences to the row before at their entropy. Both are ideal coders of no order: what a
coder without context cannot beat, and one with context may.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import meshopt
import numpy as np

from benchmarks.export.contenders import cloud_of
from epipar_export.collect import Collector
from epipar_export.filtered_color import filtered_rows
from epipar_export.grid import box_of, grid_over
from epipar_export.morton import CODE_MASK, coordinates_and_bounds
from epipar_export.options import ExportOptions
from epipar_export.order import OrderedPoints, nested_order
from epipar_export.precompress import zstd
from epipar_export.workspace import Workspace

TILE = 8_192
TILES = 200


def ordered_cloud(count: int, bits: int) -> OrderedPoints:
    """Return the benchmark's cloud in nested order."""
    cloud = cloud_of(count)
    box = box_of(cloud.positions)
    memory = Workspace(Path())
    with ThreadPoolExecutor(2) as pool:
        collector = Collector(grid_over(box[0], box[1], bits), count, pool, memory)
        collector.add(cloud)
        return nested_order(collector.finish(), ExportOptions(position_bits=bits), pool, memory)


def entropy(symbols: np.ndarray[Any, Any]) -> float:
    """Return bits a symbol at order zero."""
    shares = np.unique(symbols, return_counts=True)[1] / len(symbols)
    return float(-(shares * np.log2(shares)).sum())


def measure(count: int, bits: int) -> dict[str, float]:
    """Return bytes a point: bounds, and stored without and with zstd, of positions and colours."""
    points = ordered_cloud(count, bits)
    begins = np.linspace(points.tiers[-2].points, len(points.keys) - TILE, TILES).astype(int)
    gaps, steps, sizes = [], [], np.zeros(4)
    for begin in begins.tolist():
        keys = points.keys[begin : begin + TILE]
        gaps.append(np.diff((keys & np.uint64(CODE_MASK)).astype(np.int64)))
        rows = filtered_rows(points.values, 2, begin, begin + TILE)
        steps.append(np.diff(rows[:, :3].astype(np.int64), axis=0))
        for kind, (data, level) in enumerate(((coordinates_and_bounds(keys, 4)[0], 3), (rows, 1))):
            packed = bytes(meshopt.encode_vertex_buffer_level(data, level, 1))
            sizes[2 * kind : 2 * kind + 2] += len(packed), len(zstd(packed))
    classes = np.floor(np.log2(np.concatenate(gaps))).astype(int)
    differences = np.concatenate(steps)
    sizes /= TILE * TILES
    return {
        "positions, bound": (entropy(classes) + float(classes.mean())) / 8,
        "positions": sizes[0],
        "positions, zstd": sizes[1],
        "colours, bound": sum(entropy(differences[:, channel]) for channel in range(3)) / 8,
        "colours": sizes[2],
        "colours, zstd": sizes[3],
    }


def main() -> None:
    """Print one line for each number of bits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--bits", type=int, nargs="+", default=[14, 12])
    arguments = parser.parse_args()
    for number, bits in enumerate(arguments.bits):
        facts = measure(arguments.points, bits)
        if number == 0:
            print("| bits | " + " | ".join(facts) + " |\n|--:|" + "--:|" * len(facts))
        print(f"| {bits} | " + " | ".join(f"{value:.2f}" for value in facts.values()) + " |")


if __name__ == "__main__":
    main()
