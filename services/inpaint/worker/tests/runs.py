"""Running jobs in this process, with all their events at hand."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import torch
from scenes import HoleyRoom

from epipar_nerfiller.control import Control
from epipar_nerfiller.events import Events
from epipar_nerfiller.job import Job
from epipar_nerfiller.runner import Runner
from epipar_nerfiller.settings import NerfillerSettings

HASH = "ab" * 32
TINY: dict[str, Any] = {
    "model_id": "solid:ff00ff",
    "first_fit_iterations": 4,
    "nerfiller_iterations": 8,
    "dataset_update": 4,
    "views_per_update": 4,
    "rays_per_batch": 64,
    "hole_share": 0.3,
    "perceptual": "structure",
    "patch_px": 4,
    "field_size": "tiny",
    "checkpoint_every": 1000,
    "offline": True,
}


class Collected(Events):
    """Events that stay in a list."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        super().__init__(writing)
        self.events: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()
        self._writing = writing

    def close(self) -> list[dict[str, Any]]:
        """Return all events."""
        os.close(self._writing)
        self._reader.join()
        return self.events

    def _read(self, reading: int) -> None:
        with os.fdopen(reading) as lines:
            for line in lines:
                self.events.append(json.loads(line))


class StopAfter(Control):
    """Stops at the n-th tick."""

    def __init__(self, ticks: int) -> None:
        super().__init__()
        self._left = ticks

    def tick(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.stop("the test says so")
        super().tick()


def tiny_job(room: HoleyRoom, folder: Path, **settings: Any) -> Job:
    """Return a job of a few iterations."""
    values = NerfillerSettings.from_json({**TINY, **settings})
    return Job(room.root, room.masks, folder / "out", folder / "work", HASH, settings=values)


def run(job: Job, control: Control | None = None) -> list[dict[str, Any]]:
    """Run a job here and return its events."""
    events = Collected()
    try:
        Runner(job, events, control or Control(), "cpu").run()
    finally:
        collected = events.close()
    return collected


def write_job(path: Path, room: HoleyRoom, folder: Path, **values: Any) -> Path:
    """Write a job file."""
    settings = {**TINY, **values.pop("settings", {})}
    job = {
        "schema_version": 1,
        "scene": str(room.root),
        "masks": str(room.masks),
        "output": str(folder / "out"),
        "work": str(folder / "work"),
        "content_hash": HASH,
        "settings": settings,
        **values,
    }
    path.write_text(json.dumps(job))
    return path


class OutOfMemoryAt(Control):
    """Has the device run out of memory at some ticks."""

    def __init__(self, *ticks: int) -> None:
        super().__init__()
        self._ticks = ticks
        self._count = 0

    def tick(self) -> None:
        self._count += 1
        if self._count in self._ticks:
            raise torch.OutOfMemoryError("the test says so")
        super().tick()
