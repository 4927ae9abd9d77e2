"""Time and memory of the export over 1, 10 and 100 million points, the last ten rooms side by side.

python -m benchmarks.export.scale [--points N ...] [--limit-mb N] [--memory-points N]

Each size runs in a process of its own whose address space is limited (RLIMIT_AS), from files on
disk, of which one million points are in memory at a time.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.export.contenders import CACHE, cloud_of, measured, size_of
from epipar_export.exporter import export_cloud, export_clouds
from epipar_export.options import ExportOptions
from epipar_export.warming import compile_ahead
from epipar_scene.arrays import F32
from epipar_scene.clouds import PointCloud

ROOM_POINTS = 10_000_000
PART_POINTS = 1_000_000
BITS = 16
HEADER = (
    "| points | rooms | on disk | wall s | CPU s | peak MB | of it not files | address space MB | "
    "B/point | tiles |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def rooms(count: int) -> Iterator[PointCloud]:
    """Give the room, or several of it in two rows, a million points at a time."""
    folder = CACHE / f"cloud_{min(count, ROOM_POINTS)}"
    names = ("positions", "colors", "confidence")
    for room in range(max(1, count // ROOM_POINTS)):
        shift: F32 = np.array([6.5 * (room % 5), 0, 5.5 * (room // 5)], np.float32)
        for start in range(0, min(count, ROOM_POINTS), PART_POINTS):
            parts = []
            for name in names:
                array = np.load(folder / f"{name}.npy", mmap_mode="r")
                parts.append(np.array(array[start : start + PART_POINTS]))
            yield PointCloud(parts[0] + shift, parts[1], parts[2], None)


class Watch:
    """Looks ten times a second at what the process holds that no file could take back."""

    def __init__(self) -> None:
        self.anonymous_kb = 0
        self.address_kb = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            lines = Path("/proc/self/status").read_text().splitlines()
            facts = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith("kB")}
            self.anonymous_kb = max(self.anonymous_kb, int(facts["RssAnon"]))
            self.address_kb = max(self.address_kb, int(facts["VmPeak"]))

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join()


def export(count: int, limit_mb: int, memory_points: int) -> dict[str, Any]:
    """Export in this process; the stages of it and what it took."""
    compile_ahead("points")
    resource.setrlimit(resource.RLIMIT_AS, (limit_mb << 20, limit_mb << 20))
    work = CACHE / f"scale_{count}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    options = ExportOptions(
        position_bits=BITS, full_points=100_000_000, memory_points=memory_points,
        write_ply=False, write_glb=False,
    )  # fmt: skip
    first = next(rooms(min(count, ROOM_POINTS))).take(slice(0, 20_000))
    export_cloud(first, work, options)  # load the kernels
    facts: dict[str, Any] = {}
    watch = Watch()
    start = time.perf_counter()
    with measured(facts):
        result = export_clouds(partial(rooms, count), work, options, input_hash="0" * 64)
    facts["wall_s"] = time.perf_counter() - start
    watch.end()
    content = json.loads((work / "export.json").read_text())
    facts |= {
        "stages": result.stage_seconds,
        "counts": content["counts"],
        "tiles": content["tiles"]["tiles"],
        "points": result.levels[2].points,
        "bytes": size_of(work / "tileset.json", work / "tiles"),
        "anonymous_mb": watch.anonymous_kb / 1024,
        "address_mb": watch.address_kb / 1024,
    }
    shutil.rmtree(work)
    return facts


def row(count: int, facts: dict[str, Any]) -> str:
    """Return one line of the table."""
    return (
        f"| {facts['points']:,} | {max(1, count // ROOM_POINTS)} "
        f"| {'yes' if facts['counts']['points_on_disk'] else 'no'} | {facts['wall_s']:.1f} "
        f"| {facts['cpu_s']:.1f} | {facts['peak_mb']:.0f} | {facts['anonymous_mb']:.0f} "
        f"| {facts['address_mb']:.0f} | {facts['bytes'] / facts['points']:.2f} "
        f"| {facts['tiles']:,} |"
    )


def main() -> None:
    """Run each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--limit-mb", type=int, default=4096)
    parser.add_argument("--memory-points", type=int, default=ExportOptions().memory_points)
    parser.add_argument("--here", action="store_true", help="one size, in this process")
    arguments = parser.parse_args()
    if arguments.here:
        (count,) = arguments.points
        print(json.dumps(export(count, arguments.limit_mb, arguments.memory_points)))
        return
    print(HEADER)
    for count in arguments.points:
        cloud_of(min(count, ROOM_POINTS))
        command = [
            sys.executable,
            "-m",
            "benchmarks.export.scale",
            "--here",
            "--points",
            str(count),
        ]
        command += ["--limit-mb", str(arguments.limit_mb)]
        command += ["--memory-points", str(arguments.memory_points)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        facts = json.loads(done.stdout.splitlines()[-1])
        print(row(count, facts), facts["stages"], facts["counts"], flush=True)


if __name__ == "__main__":
    main()
