"""The clips that depth is measured on: the sample and, where it is there, the office clip."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from benchmarks.depth.score import Truth
from epipar_depth.poses import estimate_poses
from epipar_depth.sources import SourceLimits, open_source
from epipar_depth.workfolder import Selection, WorkFolder

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Clip:
    """A video and its truth.

    Attributes:
        name: "sample" or "office".
        video: its file.
        truth_path: poses and depth.
    """

    name: str
    video: Path
    truth_path: Path


def clips() -> Iterator[Clip]:
    """Yield the clips that are there, and say which is not."""
    shared = Path(os.environ.get("EPIPAR_SHARED", ROOT.parent / "shared"))
    for name, folder, video in (
        ("sample", ROOT / "examples/sample", "clip.mp4"),
        ("office", shared / "data/office", "office.mp4"),
    ):
        if (folder / video).exists():
            yield Clip(name, folder / video, folder / "ground_truth.json")
        else:
            print(f"{name}: {folder / video} is not there; left out")


def posed(clip: Path, folder: Path) -> WorkFolder:
    """Return a work folder with every frame of a short clip and its poses, kept from before or new."""
    work = WorkFolder(folder)
    work.root.mkdir(parents=True, exist_ok=True)
    selection = work.load_selection()
    if selection is None:
        keys: list[int | str] = []
        for frame in open_source(clip, SourceLimits()).frames():
            work.save_frame(len(keys), frame.bgr)
            keys.append(frame.key)
        selection = Selection(len(keys), tuple(keys), is_video=True)
        work.save_selection(selection)
    estimate_poses(work, selection, sequential=None, seed=0, threads=1, progress=lambda *_: None)
    return work


def print_table(
    parser: argparse.ArgumentParser,
    head: str,
    measure: Callable[[str, WorkFolder, Truth, argparse.Namespace], list[str]],
    path: Path,
) -> None:
    """Print the rows of every clip as they come, and keep them where that is asked for.

    Args:
        parser: with the options of the table; --keep and --write are added.
        head: of the table.
        measure: from a clip's name, posed frames, truth and the options to its rows.
        path: of the file that --write writes.
    """
    parser.add_argument("--keep", type=Path, help="folder that keeps the work for next time")
    parser.add_argument("--write", action="store_true", help=f"keep the table in {path.name}")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = [head]
    with tempfile.TemporaryDirectory() as temporary:
        for clip in clips():
            work = posed(clip.video, (arguments.keep or Path(temporary)) / clip.name)
            rows += measure(clip.name, work, Truth(clip.truth_path), arguments)
            print("\n".join(rows), flush=True)
    if arguments.write:
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
