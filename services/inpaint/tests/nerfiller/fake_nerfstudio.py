"""Stands for ns-train and ns-render of an operator's environment with the published NeRFiller."""

from __future__ import annotations

import gzip
import json
import struct
import sys
from pathlib import Path

import numpy as np
from PIL import Image

program, *arguments = sys.argv[1:]


def value(name: str) -> str:
    return arguments[arguments.index(name) + 1]


def event_file(folder: Path, steps: list[int]) -> None:
    """What TensorBoard's writer leaves: wall time (field 1), step (field 2)."""
    folder.mkdir(parents=True, exist_ok=True)
    content = b""
    for step in steps:
        varint, rest = b"", step
        while rest >= 0x80:
            varint, rest = varint + bytes([rest & 0x7F | 0x80]), rest >> 7
        record = b"\x09" + struct.pack("<d", 1.5) + b"\x10" + varint + bytes([rest])
        content += struct.pack("<Q4x", len(record)) + record + b"\0" * 4
    (folder / "events.out.tfevents.1").write_bytes(content + b"\x10\0\0")


def write_down(root: Path) -> None:
    """Keep the command line, and what an operator would find where it points."""
    with (root / "calls.txt").open("a") as calls:
        print(json.dumps([program, *arguments]), file=calls)


if program == "ns-train":
    method, data = arguments[0], Path(value("--data"))
    root = Path(value("--output-dir")).parent
    write_down(root)
    if "--load-dir" in arguments:
        assert list(Path(value("--load-dir")).glob("step-*.ckpt")), "nothing to begin from"
    if (root / f"break-{method}").exists():
        sys.exit(3)
    folder = Path(value("--output-dir")) / "scene" / method / value("--timestamp")
    start = 30_000 if method != "nerfacto-nerfiller" else 0
    event_file(folder, [start + 1, start + int(value("--max-num-iterations"))])
    (folder / "nerfstudio_models").mkdir()
    (folder / "nerfstudio_models" / "step-000029999.ckpt").touch()
    (folder / "config.yml").write_text(str(data))
    sys.stdout.write("training\n")
else:
    data = Path(Path(value("--load-config")).read_text())
    write_down(Path(value("--output-path")).parent)
    out = Path(value("--output-path")) / value("--split")
    (out / "rgb").mkdir(parents=True)
    (out / "raw-depth").mkdir()
    frames = json.loads((data / "transforms.json").read_text())
    for entry in frames["frames"]:
        stem = Path(entry["file_path"]).stem
        mask = np.asarray(Image.open(data / entry["mask_path"]))
        picture = np.full((*mask.shape, 3), (0, 255, 0), np.uint8)
        Image.fromarray(picture).save(out / "rgb" / f"{stem}.png")
        with gzip.open(out / "raw-depth" / f"{stem}.npy.gz", "wb") as stream:
            np.save(stream, np.full((*mask.shape, 1), 2.0, np.float32))
