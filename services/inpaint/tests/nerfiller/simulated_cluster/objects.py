"""Objects with versions and a bounded memory of what changed, as etcd and the API server keep them."""

from __future__ import annotations

import copy
import re
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

JOBS, PODS, CRON_JOBS = ("batch", "jobs"), ("", "pods"), ("batch", "cronjobs")
KINDS = {JOBS: "Job", PODS: "Pod", CRON_JOBS: "CronJob"}

Key = tuple[tuple[str, str], str, str]
"""(group, resource), namespace, name."""


class RefusalError(Exception):
    """The server says no."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Objects:
    """All objects of the cluster; changed is notified of each change."""

    def __init__(self) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.version = 100
        self.oldest = 0
        self.log: list[tuple[int, str, Key, dict[str, Any]]] = []
        self.all: dict[Key, dict[str, Any]] = {}
        self.checks: list[Callable[[dict[str, Any]], None]] = []

    def create(self, key: Key, made: dict[str, Any], *, dry: bool = False) -> dict[str, Any]:
        (group, resource), namespace, name = key
        for check in self.checks:
            check(made)
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
            raise RefusalError(422, "Invalid", f"metadata.name: Invalid value: {name!r}")
        with self.changed:
            if key in self.all:
                raise RefusalError(
                    409, "AlreadyExists", f'{resource}.{group} "{name}" already exists'
                )
            made = copy.deepcopy(made)
            made["metadata"] = {
                **made["metadata"],
                "name": name,
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": now(),
            }
            if not dry:
                self.all[key] = made
                self._emit("ADDED", key)
            return copy.deepcopy(made)

    def get(self, key: Key) -> dict[str, Any]:
        with self.changed:
            if key not in self.all:
                raise RefusalError(404, "NotFound", f'{key[0][1]}.{key[0][0]} "{key[2]}" not found')
            return copy.deepcopy(self.all[key])

    def change(self, key: Key, change: Callable[[dict[str, Any]], None]) -> None:
        with self.changed:
            if key in self.all:
                change(self.all[key])
                self._emit("MODIFIED", key)

    def remove(self, key: Key) -> None:
        with self.changed:
            if key in self.all:
                self._emit("DELETED", key)
                del self.all[key]

    def of(self, kind: tuple[str, str]) -> list[tuple[Key, dict[str, Any]]]:
        with self.changed:
            return [(k, copy.deepcopy(o)) for k, o in self.all.items() if k[0] == kind]

    def compact(self) -> None:
        """Forget all changes: who watches from an older version is told 410."""
        with self.changed:
            self.version += 1
            self.oldest = self.version
            self.log.clear()

    def _emit(self, kind: str, key: Key) -> None:
        self.version += 1
        self.all[key]["metadata"]["resourceVersion"] = str(self.version)
        self.log.append((self.version, kind, key, copy.deepcopy(self.all[key])))
        self.changed.notify_all()
