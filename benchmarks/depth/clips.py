"""The clips that depth is measured on, and what the programs that do so have in common."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.depth.score import Truth

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Clip:
    """A video whose depth is known in some frames.

    Attributes:
        name: in tables.
        folder: that holds it and ground_truth.json.
        video: its file.
    """

    name: str
    folder: Path
    video: Path

    def truth(self) -> Truth:
        """Return what is known of it."""
        return Truth(self.folder / "ground_truth.json")


def clips() -> Iterator[Clip]:
    """Yield the sample and, where it is there, the office; say what is left out."""
    shared = Path(os.environ.get("EPIPAR_SHARED", ROOT.parent / "shared"))
    for name, folder, video in (
        ("sample", ROOT / "examples/sample", "clip.mp4"),
        ("office", shared / "data/office", "office.mp4"),
    ):
        if (folder / video).exists():
            yield Clip(name, folder, folder / video)
        else:
            print(f"{name}: {folder / video} is not there; left out")


def parser(docstring: str | None) -> argparse.ArgumentParser:
    """Return a parser that has --write and tells the first line of a module's docstring."""
    made = argparse.ArgumentParser(description=docstring.splitlines()[0] if docstring else None)
    made.add_argument("--write", action="store_true", help="keep what is found beside the program")
    return made


def table(head: str, rows_of: Callable[[Clip], list[str]], kept: str | None) -> None:
    """Print a table that grows by the rows of each clip.

    Args:
        head: its first lines.
        rows_of: measures one clip.
        kept: name of the file, beside this one, that keeps the table; None keeps none.
    """
    rows = [head]
    for clip in clips():
        rows += rows_of(clip)
        print("\n".join(rows), flush=True)
    if kept is not None:
        (HERE / kept).write_text("\n".join(rows) + "\n", encoding="utf-8")
