"""Memory and CPU time of a process and all below it, as /proc tells them.

A process's ``ru_maxrss`` is of no use here: a spawned child begins with the peak of the process
that started it, so that a large parent makes every worker look large. ``VmHWM`` begins at exec.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_EVERY_S = 0.05


@dataclass(slots=True)
class Peaks:
    """The most that was held at once; MB.

    Attributes:
        worker: resident pages of the largest process below the watched one.
        worker_own: of one such process, pages that no file backs.
        tree: resident pages of the watched process and all below it; what they share counts for
            each.
        tree_own: of those, pages that no file backs.
        threads: of one process below the watched one.
        by_process: resident pages of each process below the watched one.
    """

    worker: float = 0.0
    worker_own: float = 0.0
    tree: float = 0.0
    tree_own: float = 0.0
    threads: int = 0
    by_process: dict[int, float] = field(default_factory=dict)


@contextmanager
def watched(root: int) -> Iterator[Peaks]:
    """Look at a process tree twenty times a second until the block ends."""
    peaks = Peaks()
    done = threading.Event()
    thread = threading.Thread(target=_follow, args=(root, peaks, done), daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


def cpu_s(root: int) -> float:
    """Return the CPU seconds of a process and all below it, those that ended included."""
    ticks = 0
    for process in tree(root):
        try:
            text = Path(f"/proc/{process}/stat").read_text()
        except OSError:  # it has just ended: its parent has its ticks
            continue
        ticks += sum(map(int, text.rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS


def tree(root: int) -> list[int]:
    """Return a process and all below it."""
    found = [root]
    for process in found:
        for task in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                found.extend(map(int, task.read_text().split()))
            except OSError:  # it has just ended
                continue
    return found


def _follow(root: int, peaks: Peaks, done: threading.Event) -> None:
    while not done.wait(_EVERY_S):
        total = own = 0.0
        for process in tree(root):
            seen = _status(process)
            resident = seen.get("VmRSS", 0) / 1000
            anonymous = seen.get("RssAnon", 0) / 1000
            total, own = total + resident, own + anonymous
            if process != root:
                most = seen.get("VmHWM", 0) / 1000
                peaks.by_process[process] = max(peaks.by_process.get(process, 0.0), most)
                peaks.worker = max(peaks.worker, most)
                peaks.worker_own = max(peaks.worker_own, anonymous)
                peaks.threads = max(peaks.threads, seen.get("Threads", 0))
        peaks.tree, peaks.tree_own = max(peaks.tree, total), max(peaks.tree_own, own)


def _status(process: int) -> dict[str, int]:
    """Return the numbers of /proc/PID/status, sizes in kB; nothing where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":")[::2] for line in lines)
    words = ((name, value.split()) for name, value in pairs)
    return {name: int(value[0]) for name, value in words if value and value[0].isdecimal()}
