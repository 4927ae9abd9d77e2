"""Find engines by entry point: list what is installed, load one by name."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from epipar_kit.errors import EngineUnavailableError, InvalidInputError

DEPTH_ENGINES = "epipar.depth_engines"
COMPLETION_ENGINES = "epipar.completion_engines"


def engine_names(group: str) -> list[str]:
    """Return the names of all engines that a group has, sorted.

    Args:
        group: entry point group, such as "epipar.depth_engines".
    """
    return sorted(_entries(group))


def load_engine(group: str, name: str, *, field: str = "engine") -> Any:
    """Import an engine and return what its entry point names, usually a factory.

    Args:
        group: entry point group, such as "epipar.depth_engines".
        name: name of the engine.
        field: request field to name in the error.

    Raises:
        InvalidInputError: ENGINE_UNKNOWN, with the names that are known.
        EngineUnavailableError: ENGINE_UNAVAILABLE, a package that the engine needs is missing.
    """
    entries = _entries(group)
    entry = entries.get(name)
    if entry is None:
        known = ", ".join(sorted(entries)) or "none"
        raise InvalidInputError(
            "ENGINE_UNKNOWN", field, f"{field} is {name[:80]!r}; installed: {known}", known=known
        )
    try:
        return entry.load()
    except ImportError as error:
        raise EngineUnavailableError(
            "ENGINE_UNAVAILABLE",
            f"engine {name!r} is installed but cannot be imported: {error}",
            retry_after_s=None,
            engine=name,
        ) from error


def _entries(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}
