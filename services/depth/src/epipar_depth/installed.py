"""Which depth engines are installed here, and whether they can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from epipar_depth.engine import DEFAULT_ENGINE, Capabilities, Engine, EngineModel
from epipar_kit.engines import DEPTH_ENGINES, engine_names, load_engine
from epipar_kit.errors import EngineUnavailableError


@dataclass(frozen=True, slots=True)
class InstalledEngine:
    """An engine that an entry point names.

    Attributes:
        name: as requests call it.
        capabilities: None where it cannot run.
        unavailable_reason: why not, and the way out; "" where it can.
        models: weights that it can use.
    """

    name: str
    capabilities: Capabilities | None
    unavailable_reason: str = ""
    models: Sequence[EngineModel] = ()


def make_engine(name: str) -> Engine:
    """Make an engine by name.

    Raises:
        InvalidInputError: ENGINE_UNKNOWN, with the names that are known.
        EngineUnavailableError: ENGINE_UNAVAILABLE, something that it needs is missing.
    """
    engine: Engine = load_engine(DEPTH_ENGINES, name)()
    return engine


def installed_engines() -> list[InstalledEngine]:
    """List the engines, the default one first."""
    names = sorted(engine_names(DEPTH_ENGINES), key=lambda name: (name != DEFAULT_ENGINE, name))
    return [_described(name) for name in names]


def _described(name: str) -> InstalledEngine:
    try:
        engine = make_engine(name)
        return InstalledEngine(name, engine.capabilities, models=tuple(engine.models))
    except EngineUnavailableError as error:
        return InstalledEngine(name, None, error.message)
