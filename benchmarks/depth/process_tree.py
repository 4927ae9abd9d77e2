"""Memory and CPU time of a process and all below it, by stage, as /proc tells them.

A process's ``ru_maxrss`` is of no use here: a spawned child begins with the peak of the process
that started it, so that a large parent makes every worker look large. ``VmHWM`` begins at exec.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_EVERY_S = 0.05
_SUMMED = ("wall_s", "cpu_s", "waited_s")
_PEAKS = ("worker", "worker_own", "tree", "tree_own")


@dataclass(slots=True)
class Use:
    """What a process tree used during one stage; memory is the most held at once, MB.

    Attributes:
        stage: its name.
        wall_s: how long it took.
        cpu_s: of all processes.
        waited_s: that threads were ready to run and had no core: what others took from them, or
            what they took from each other.
        worker: resident pages of the largest process below the watched one.
        worker_own: of one such process, pages that no file backs.
        tree: resident pages of all processes; what they share counts for each.
        tree_own: of those, pages that no file backs.
    """

    stage: str
    wall_s: float = 0.0
    cpu_s: float = 0.0
    waited_s: float = 0.0
    worker: float = 0.0
    worker_own: float = 0.0
    tree: float = 0.0
    tree_own: float = 0.0

    @property
    def cores(self) -> float:
        """Threads that ran or were ready to, on average: cores busy, were no one else there."""
        return (self.cpu_s + self.waited_s) / max(self.wall_s, 1e-9)


class Watch:
    """Looks at a process tree twenty times a second, between ``with`` and its end.

    Attributes:
        stages: what was used, in the order of the stages.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._waited: dict[str, float] = {}  # by /proc folder of a thread
        self._began = (0.0, 0.0, 0.0)
        self.stages: list[Use] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._end_stage()
        self._done.set()
        self._thread.join()

    def stage(self, name: str) -> None:
        """Begin a stage, unless it is the one that runs."""
        with self._lock:
            if not self.stages or self.stages[-1].stage != name:
                self._end_stage()
                self.stages.append(Use(name))
                self._began = self._now()

    def _end_stage(self) -> None:
        if self.stages:
            self._look(self.stages[-1])
            last, now = self.stages[-1], self._now()
            last.wall_s, last.cpu_s, last.waited_s = (
                end - start for end, start in zip(now, self._began, strict=True)
            )

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), cpu_s(self._root), sum(self._waited.values())

    def _follow(self) -> None:
        while not self._done.wait(_EVERY_S):
            with self._lock:
                if self.stages:
                    self._look(self.stages[-1])

    def _look(self, use: Use) -> None:
        total = own = 0.0
        for process in tree(self._root):
            seen = _status(process)
            resident, anonymous = (seen.get(name, 0) / 1000 for name in ("VmRSS", "RssAnon"))
            total, own = total + resident, own + anonymous
            if process != self._root:
                use.worker = max(use.worker, seen.get("VmHWM", 0) / 1000)
                use.worker_own = max(use.worker_own, anonymous)
            self._waited.update(_waited_s(process))
        use.tree, use.tree_own = max(use.tree, total), max(use.tree_own, own)


def whole(stages: list[Use]) -> Use:
    """Return what all stages used together."""
    sums = {name: sum(getattr(use, name) for use in stages) for name in _SUMMED}
    peaks = {name: max(getattr(use, name) for use in stages) for name in _PEAKS}
    return Use("all", **sums, **peaks)


def cpu_s(root: int) -> float:
    """Return the CPU seconds of a process and all below it, those that ended included."""
    ticks = 0
    for process in tree(root):
        text = _read(Path(f"/proc/{process}/stat"))  # if it has just ended, its parent has them
        ticks += sum(map(int, text.rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS


def tree(root: int) -> list[int]:
    """Return a process and all below it."""
    found = [root]
    for process in found:
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            found.extend(map(int, _read(task).split()))
    return found


def _waited_s(process: int) -> dict[str, float]:
    """Return how long each thread of a process was ready and did not run."""
    found = {}
    for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
        words = _read(thread).split()
        if len(words) == 3:
            found[str(thread)] = int(words[1]) / 1e9
    return found


def _status(process: int) -> dict[str, int]:
    """Return the numbers of /proc/PID/status, sizes in kB; nothing where it has ended."""
    lines = _read(Path(f"/proc/{process}/status")).splitlines()
    words = ((name, value.split()) for name, _, value in (line.partition(":") for line in lines))
    return {name: int(value[0]) for name, value in words if value and value[0].isdecimal()}


def _read(path: Path) -> str:
    """Return a file of /proc; nothing where its process has ended."""
    try:
        return path.read_text()
    except OSError:
        return ""
