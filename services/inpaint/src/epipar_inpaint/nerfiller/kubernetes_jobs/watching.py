"""One Job, followed: a list, then watches from its version, a new list where that is too old."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from epipar_inpaint.nerfiller.kubernetes_jobs.api import AnswerError, ClusterApi
from epipar_kit.errors import EpiparError, typed_error


class JobWatch(threading.Thread):
    """Keeps the latest state of a Job.

    Args:
        api: of the cluster.
        name: of the Job, which exists.
        watch_s: how long one watch is kept open.
        on_change: called, in this thread, when something is new.
    """

    def __init__(
        self, api: ClusterApi, name: str, watch_s: float, on_change: Callable[[], None]
    ) -> None:
        super().__init__(name=f"watch-{name}", daemon=True)
        self.lists = 0
        self.watches = 0
        self._api = api
        self._job_name = name
        self._watch_s = watch_s
        self._on_change = on_change
        self._known = threading.Event()
        self._ended = threading.Event()
        self._job: dict[str, Any] | None = None
        self._error: EpiparError | None = None

    def current(self) -> dict[str, Any] | None:
        """Return the Job as last seen; None where it is gone.

        Raises:
            EpiparError: following it failed.
        """
        self._known.wait()
        if self._error is not None:
            raise self._error
        return self._job

    def end(self) -> None:
        """Follow no longer; the thread ends with its connection."""
        self._ended.set()

    def run(self) -> None:
        """Follow the Job until it is gone or nobody wants to know."""
        try:
            version = ""
            while not self._ended.is_set():
                version = self._follow(version) if version else self._list()
                if self._job is None:
                    return
        except Exception as error:  # noqa: BLE001 - the edge of the thread; current() raises it
            self._error = typed_error(error)
            self._tell()

    def _list(self) -> str:
        self.lists += 1
        self._job, version = self._api.listed_job(self._job_name)
        self._tell()
        return version

    def _follow(self, version: str) -> str:
        """Watch from a version on; return the one to go on from, "" for a new list."""
        self.watches += 1
        try:
            for kind, job in self._api.watched_job(self._job_name, version, self._watch_s):
                version = str(job["metadata"]["resourceVersion"])
                if self._ended.is_set():
                    break
                if kind != "BOOKMARK":
                    self._job = None if kind == "DELETED" else job
                    self._tell()
                if self._job is None:
                    break
        except AnswerError as answer:
            if answer.status != 410:
                raise
            return ""
        return version

    def _tell(self) -> None:
        self._known.set()
        if not self._ended.is_set():
            self._on_change()
