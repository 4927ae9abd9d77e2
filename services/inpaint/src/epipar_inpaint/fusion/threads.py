"""Work on many views at a time, in threads: the kernels release the interpreter lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait


def each(
    work: Callable[[int], None], items: Sequence[int], workers: int, finished: Callable[[], None]
) -> None:
    """Call work(item) for every item; finished() after each, in this thread.

    Few are under way at a time, so the first error stops the rest soon.

    Raises:
        Exception: the first error of an item.
    """
    if workers <= 1 or len(items) <= 1:
        for item in items:
            work(item)
            finished()
        return
    pending: set[Future[None]] = set()
    rest = iter(items)
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in rest:
                if len(pending) >= workers + 1:
                    pending = _take(pending, finished)
                pending.add(pool.submit(work, item))
            while pending:
                pending = _take(pending, finished)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _take(pending: set[Future[None]], finished: Callable[[], None]) -> set[Future[None]]:
    done, rest = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
        finished()
    return rest
