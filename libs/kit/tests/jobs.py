"""Jobs for the tests of run_work: what a well-behaved, a faulty and a hostile child does."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from epipar_kit.errors import InvalidInputError
from epipar_kit.work import Report, work_main

_FOREVER = [sys.executable, "-c", "import time; time.sleep(1000)"]


def _square(value: int) -> int:
    return value * value


def _leave_pids(request: dict[str, Any], *pids: int) -> None:
    """Name this process and its children for the test, all at once."""
    path = Path(request["pids"])
    temporary = path.with_suffix(".tmp")
    temporary.write_text(" ".join(map(str, (os.getpid(), *pids))))
    temporary.replace(path)


def echo(request: dict[str, Any], report: Report) -> dict[str, Any]:
    report("reading", 0, 3, "frames", "début")
    report("reading", 3, 3, "frames")
    return {"request": request}


def flood(request: dict[str, Any], report: Report) -> dict[str, Any]:
    for done in range(20_001):
        report("first", done, 20_000, "points")
    for done in range(7):  # ends before its total
        report("second", done, 10, "points")
    report("third", 1, 1, "files")
    return {}


def step_back(request: dict[str, Any], report: Report) -> dict[str, Any]:
    for done in (1, 5, 3, 6):
        report("mapping", done, 10, "frames")
        time.sleep(0.06)  # longer than the worker merges reports
    report("depth", 0, 10, "frames")
    return {}


def flood_from_threads(request: dict[str, Any], report: Report) -> dict[str, Any]:
    def work(stage: str) -> None:
        for done in range(2_000):
            report(stage, done, 0, "points", "x" * 300)

    threads = [threading.Thread(target=work, args=(f"stage_{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {}


def noise(request: dict[str, Any], report: Report) -> dict[str, Any]:
    sys.stdout.write('{"result": {"forged": true}}\n')
    sys.stdout.flush()
    ctypes.CDLL(None).puts(b"a line from a native library")
    sys.stderr.write("x" * 100_000 + "\n")
    return {"honest": True}


def environment(request: dict[str, Any], report: Report) -> dict[str, Any]:
    return {key: os.environ.get(key) for key in request["names"]}


def typed_error(request: dict[str, Any], report: Report) -> dict[str, Any]:
    raise InvalidInputError("TOO_FEW_FRAMES", "source", "the video has 2 frames", frames=2)


def fault(request: dict[str, Any], report: Report) -> dict[str, Any]:
    raise RuntimeError("a secret path")


def unserialisable(request: dict[str, Any], report: Report) -> dict[str, Any]:
    return {"result": object()}


def out_of_memory(request: dict[str, Any], report: Report) -> dict[str, Any]:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    return {"size": len(bytearray(1 << 31))}


def dev_full(request: dict[str, Any], report: Report) -> dict[str, Any]:
    with Path("/dev/full").open("wb") as file:
        file.write(b"x")
    return {}


def file_limit(request: dict[str, Any], report: Report) -> dict[str, Any]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    Path(request["path"]).write_bytes(bytes(100_000))
    return {}


def segfault(request: dict[str, Any], report: Report) -> dict[str, Any]:
    report("crashing", 0, 1, "times")
    ctypes.string_at(0)
    return {}


def leave(request: dict[str, Any], report: Report) -> dict[str, Any]:
    os._exit(7)


def pool(request: dict[str, Any], report: Report) -> dict[str, Any]:
    with multiprocessing.get_context("spawn").Pool(2) as workers:
        return {"squares": workers.map(_square, range(5))}


def hang(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Wait for ever, with a grandchild, deaf to SIGTERM where asked to."""
    if request.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    grandchild = subprocess.Popen(_FOREVER)
    _leave_pids(request, grandchild.pid)
    report("hanging", 0, 1, "times")
    time.sleep(1000)
    return {}


def hang_in_native_code(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Keep the interpreter's lock for ever: no Python code runs in this process again."""
    grandchild = subprocess.Popen(_FOREVER)
    _leave_pids(request, grandchild.pid)
    report("hanging", 0, 1, "times")
    ctypes.PyDLL(None).sleep(1000)
    return {}


def die_with_orphan(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Crash and leave a forked child that keeps every pipe open."""
    pid = os.fork()
    if pid == 0:
        time.sleep(1000)
    _leave_pids(request, pid)
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def linger(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Answer, but leave a thread that never ends."""
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return {"answer": 42}


def _main(request: dict[str, Any], report: Report) -> dict[str, Any]:
    job = globals()[request["job"]]
    result: dict[str, Any] = job(request, report)
    return result


if __name__ == "__main__":
    work_main(_main)
