"""Frames a second and memory by model and number of images: ``python -m benchmarks.da3 [--write]``.

Weights are random, made here: nothing is downloaded, and **accuracy is not measured**. Each model
runs in a process of its own, so that peak memory is its own. Run it in an environment with torch
and the model code: ``make bench-da3``, or on a GPU ``python -m benchmarks.da3 --device cuda``, which
takes up to --minutes and shows what happens when memory ends.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ORDER = (
    "da3-small",
    "da3-base",
    "da3-large",
    "da3metric-large",
    "da3-giant",
    "da3nested-giant-large",
)
ON_CPU = ("da3-small", "da3-base", "da3-large")
ON_GPU = ("da3-small", "da3-base", "da3-large", "da3-giant")
SPEED = ("model", "on", "dtype", "images", "frames/s", "CPU-s/frame", "peak MiB")
MEMORY = ("model", "parameters", "loaded MiB", "image MiB", "registry MiB", "when memory ended")
INTRODUCTION = """\
# Depth Anything 3: speed and memory

`{command}`. Random weights: **accuracy was not measured.** Passes of images of
{side} px (4:3) on {machine}{threads}. Frames/s on a CPU are frames per CPU-second; on a GPU a frame's
way there and back is included. Memory of an image is the difference of the peaks of the fewest and
the most, by dtype. The registry's figures (base + image), by which the host admits, are for a GPU in
half precision.
"""


def main() -> None:
    """Run the models and print, perhaps write, the tables."""
    given = _arguments()
    on_gpu = given.device.startswith("cuda")
    began_s = time.monotonic()
    speed, memory, machine, late = [_head(SPEED)], [_head(MEMORY)], "", []
    for model in given.models or (ON_GPU if on_gpu else ON_CPU):
        left_s = 60 * given.minutes - (time.monotonic() - began_s)
        measured = _measured(model, given, on_gpu, left_s) if left_s > 0 else None
        if measured is None:
            late.append(model)
            continue
        machine = str(measured["device"])
        speed += [_speed_row(model, measured, row) for row in measured["rows"]]
        memory.append(_memory_row(model, measured))
        print("\n".join([*speed, "", *memory, ""]), flush=True)
    threads = "" if on_gpu else f", {given.threads} thread(s)"
    text = INTRODUCTION.format(
        command="python -m benchmarks.da3 --device cuda --write" if on_gpu else "make bench-da3",
        side=given.side,
        machine=machine,
        threads=threads,
    )
    text += "\n".join(["", *speed, "", *memory, ""])
    if late:
        text += f"\nNot measured in {given.minutes:g} minutes: {', '.join(late)}.\n"
        print(text.splitlines()[-1])
    if given.write and machine:
        (HERE / ("results_gpu.md" if on_gpu else "results.md")).write_text(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=ORDER, default=None)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1")
    parser.add_argument("--dtypes", nargs="+", choices=("fp32", "fp16", "bf16"), default=None)
    parser.add_argument("--side", type=int, default=504)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, nargs="+", default=None, help="images of a pass")
    parser.add_argument("--minutes", type=float, default=9.0, help="of a GPU; for all models")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if not given.device.startswith("cuda"):
        given.minutes = 10_000.0
    return given


def _measured(
    model: str, given: argparse.Namespace, on_gpu: bool, left_s: float
) -> dict[str, Any] | None:
    """Measure a model; None where its time ran out."""
    with tempfile.TemporaryDirectory() as folder:
        job = {
            "model": model,
            "device": given.device,
            "dtypes": given.dtypes or (["bf16", "fp16", "fp32"] if on_gpu else ["fp32"]),
            "side": given.side,
            "frames": sorted(given.frames or ([1, 4, 16, 32, 60] if on_gpu else [1, 3])),
            "halve": on_gpu,
        }
        try:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.da3.one_model", json.dumps(job)],
                stdout=subprocess.PIPE,
                check=True,
                timeout=left_s,
                env={
                    **os.environ,
                    "EPIPAR_DEPTH_DA3_MODELS_DIR": folder,
                    "EPIPAR_DEPTH_DA3_THREADS": str(given.threads),
                    "OMP_NUM_THREADS": str(given.threads),
                },
            )
        except subprocess.TimeoutExpired:
            return None
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def _head(columns: tuple[str, ...]) -> str:
    return f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"


def _speed_row(model: str, m: dict[str, Any], row: dict[str, Any]) -> str:
    # On a CPU that others use too, time of the CPU counts, not of the wall.
    rate = 1 / row["cpu_s_per_frame"] if m["device"] == "cpu" else row["frames_per_s"]
    return (
        f"| {model} | {m['device']} | {row['dtype']} | {row['images']} | {rate:.3g} | "
        f"{row['cpu_s_per_frame']:.2f} | {row['peak_mib']:.0f} |"
    )


def _memory_row(model: str, m: dict[str, Any]) -> str:
    images = ", ".join(f"{dtype} {mib:.0f}" for dtype, mib in m["image_mib"].items())
    halving = m["halving"]
    ended = (
        f"{halving['asked']} images in {halving['room_mib']:.0f} MiB: failed "
        f"{halving['failures']} times, then {halving['went']}"
        if halving
        else ""
    )
    return (
        f"| {model} | {m['parameters_m']:.0f} M | {m['loaded_mib']:.0f} | {images} | "
        f"{m['registry_base_mib']:.0f} + {m['registry_image_mib']:.0f} | {ended} |"
    )


if __name__ == "__main__":
    main()
