"""Which engines may be asked for: a wrong name is refused before a job is queued for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

from epipar_kit.errors import EngineUnavailableError, InvalidInputError

KEPT_S = 30.0


class EngineLists(Protocol):
    """Where the engines of a compute service are listed."""

    async def engines(self, service: str) -> list[Any] | None:
        """Return the service's Engine messages, None where it does not answer now."""


@dataclass(frozen=True, slots=True)
class _Known:
    engines: list[Any]
    until_s: float


class Engines:
    """Checks engine names against the settings and against what is installed.

    A service that does not answer is no reason to refuse: its job waits for it, and learns there.
    """

    def __init__(self, lists: EngineLists, refused: frozenset[str]) -> None:
        self._lists = lists
        self._refused = refused
        self._known: dict[str, _Known] = {}

    async def check(self, service: str, name: str) -> None:
        """Let a good name pass.

        Raises:
            InvalidInputError: ENGINE_UNKNOWN, there is none of that name.
            EngineUnavailableError: ENGINE_UNAVAILABLE, it is switched off or cannot run.
        """
        if name in self._refused:
            raise _unavailable(name, "is switched off here (EPIPAR_GATEWAY_DISABLED_ENGINES)")
        engines = await self._engines(service)
        if engines is None:
            return
        found = next((engine for engine in engines if engine.name == name), None)
        if found is None:
            installed = ", ".join(engine.name for engine in engines) or "none"
            raise InvalidInputError(
                "ENGINE_UNKNOWN", "engine", f"engine is {name[:80]!r}; installed: {installed}"
            )
        if not found.available:
            raise _unavailable(name, f"cannot run: {found.unavailable_reason}")

    async def _engines(self, service: str) -> list[Any] | None:
        known = self._known.get(service)
        if known is not None and time.monotonic() < known.until_s:
            return known.engines
        engines = await self._lists.engines(service)
        if engines is not None:
            self._known[service] = _Known(engines, time.monotonic() + KEPT_S)
        return engines


def _unavailable(name: str, why: str) -> EngineUnavailableError:
    return EngineUnavailableError(
        "ENGINE_UNAVAILABLE", f"engine {name!r} {why}", retry_after_s=None, engine=name
    )
