"""Child processes of the engine: one for structure from motion, a pool for the frames.

They are spawned, not forked (native libraries hold threads and locks), run native code on one
thread each, and die with their parent, however it dies.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, Self

from epipar_kit.errors import EpiparError, WorkerDiedError, typed_error
from epipar_kit.worker import die_with_parent

_ONE_THREAD = dict.fromkeys(
    ("MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)


def usable_cores() -> int:
    """Return the cores that this process may use, at least 1."""
    return max(1, len(os.sched_getaffinity(0)))


def run_alone(task: Callable[[Callable[..., None]], Any], heard: Callable[..., None]) -> Any:
    """Run a picklable task in a process of its own and return its result.

    Args:
        task: called with a function that sends its arguments to ``heard``, from any thread.
        heard: called in this process, in order.

    Raises:
        EpiparError: what the task raised; anything else it raised is INTERNAL.
        WorkerDiedError: the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    with _environment():
        process = context.Process(target=_alone, args=(task, sender, os.getpid()), daemon=True)
        process.start()
    sender.close()
    try:
        while True:
            try:
                kind, value = receiver.recv()
            except EOFError:
                process.join()
                raise WorkerDiedError(
                    f"structure from motion ended without an answer (exit {process.exitcode})"
                ) from None
            if kind == "result":
                return value
            if kind == "error":
                raise value
            heard(*value)
    finally:
        receiver.close()
        if process.is_alive():
            process.join(5)
        if process.is_alive():
            process.kill()
        process.join()


class FramePool:
    """Processes that work on frames, one stage after the other; they start when first needed.

    Use it as a context: at its end all are gone, and what was queued with them.

    Args:
        workers: processes at most.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = ProcessPoolExecutor(
            workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin_frames,
            initargs=(os.getpid(),),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run(
        self,
        work: Callable[..., None],
        arguments: Iterable[tuple[Any, ...]],
        finished: Callable[[], None],
    ) -> None:
        """Call ``work(*arguments)`` for each frame; ``finished`` after each, here.

        At most two tasks a worker are queued, so that the first error stops the rest soon.

        Raises:
            Exception: the first error of a frame, as it was raised there.
            WorkerDiedError: a worker was killed (for memory, mostly).
        """
        pending: set[Future[None]] = set()
        for each in arguments:
            if len(pending) >= 2 * self._workers:
                pending = _take_finished(pending, finished)
            with _environment():  # a process may start here
                pending.add(self._pool.submit(work, *each))
        while pending:
            pending = _take_finished(pending, finished)


def run_frames(
    work: Callable[..., None],
    arguments: Iterable[tuple[Any, ...]],
    workers: int,
    finished: Callable[[], None],
) -> None:
    """Call ``work(*arguments)`` for each frame in a pool of its own; see FramePool.run."""
    with FramePool(workers) as pool:
        pool.run(work, arguments, finished)


def _take_finished(pending: set[Future[None]], finished: Callable[[], None]) -> set[Future[None]]:
    done, rest = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        try:
            future.result()
        except BrokenProcessPool:
            raise WorkerDiedError("a process that worked on a frame was killed") from None
        finished()
    return rest


@contextmanager
def _environment() -> Iterator[None]:
    """Have children read one-thread settings before they import anything."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin_frames(parent_pid: int) -> None:
    die_with_parent(parent_pid)
    import cv2

    cv2.setNumThreads(1)


def _alone(task: Callable[..., Any], sender: Connection, parent_pid: int) -> None:
    die_with_parent(parent_pid)
    try:
        sender.send(("result", task(lambda *values: sender.send(("heard", values)))))
    except Exception as error:  # noqa: BLE001 - the edge of the process
        if not isinstance(error, EpiparError):
            _log_trace(error)
        sender.send(("error", typed_error(error)))
    finally:
        sender.close()


def _log_trace(error: Exception) -> None:
    import logging

    logging.getLogger(__name__).error("child_process_failed", exc_info=error)
