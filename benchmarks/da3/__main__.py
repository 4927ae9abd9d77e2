"""Frames a second and memory by model: ``python -m benchmarks.da3 [--write] [--models ...]``.

Weights are random, made here: nothing is downloaded, and **accuracy is not measured**. Each model
runs in a process of its own, so that peak memory is its own. Run it in an environment with torch
and the model code (``make bench-da3``).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

RESULTS = Path(__file__).with_name("results.md")
ORDER = (
    "da3-small",
    "da3-base",
    "da3-large",
    "da3metric-large",
    "da3-giant",
    "da3nested-giant-large",
)
DEFAULT = ("da3-small", "da3-base", "da3-large")
COLUMNS = (
    *("model", "on", "dtype", "parameters", "loaded MiB", "image MiB", "registry MiB", "frames/s"),
    "CPU-s/frame",
)
HEAD = (f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|")
INTRODUCTION = """\
# Depth Anything 3: speed and memory

`make bench-da3`. Random weights: **accuracy was not measured.** Passes of {few} and {many} images of
{side} px (4:3) on {machine}, {threads} thread(s) where that is a CPU; memory of an image is the
difference of the two peaks; frames/s on a CPU are frames per CPU-second. The registry's figures (base + image), by which the host admits, are
for a GPU in half precision.
"""


def main() -> None:
    """Run the models and print, perhaps write, the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=ORDER, default=None)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="", choices=("", "fp32", "fp16", "bf16"))
    parser.add_argument("--side", type=int, default=504)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, nargs=2, default=(1, 3))
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    rows, machine = [], ""
    for model in given.models or DEFAULT:
        measured = _measured(model, given)
        machine = str(measured["device"])
        rows.append(_row(model, measured))
        print("\n".join([*HEAD, *rows]), flush=True)
    few, many = given.frames
    text = INTRODUCTION.format(
        few=few, many=many, side=given.side, machine=machine, threads=given.threads
    )
    text += "\n".join(["", *HEAD, *rows, ""])
    if given.write:
        RESULTS.write_text(text)


def _measured(model: str, given: argparse.Namespace) -> dict[str, float | str]:
    with tempfile.TemporaryDirectory() as folder:
        job = {
            "model": model,
            "device": given.device,
            "dtype": given.dtype,
            "side": given.side,
            "threads": given.threads,
            "frames": list(given.frames),
        }
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.da3.one_model", json.dumps(job)],
            stdout=subprocess.PIPE,
            check=True,
            env={
                **os.environ,
                "EPIPAR_DEPTH_DA3_MODELS_DIR": folder,
                "EPIPAR_DEPTH_DA3_THREADS": str(given.threads),
                "OMP_NUM_THREADS": str(given.threads),
            },
        )
        found: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
        return found


def _row(model: str, m: dict[str, float | str]) -> str:
    # On a CPU that others use too, time of the CPU counts, not of the wall.
    rate = 1 / float(m["cpu_s_per_frame"]) if m["device"] == "cpu" else m["frames_per_s"]
    return (
        f"| {model} | {m['device']} | {m['dtype']} | {m['parameters_m']:.0f} M | {m['loaded_mib']:.0f} | "
        f"{m['image_mib']:.0f} | {m['registry_base_mib']:.0f} + {m['registry_image_mib']:.0f} | "
        f"{rate:.3g} | {m['cpu_s_per_frame']:.2f} |"
    )


if __name__ == "__main__":
    main()
