"""The services of a suite that this command can start, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from epipar_client.client import Service


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service: started as `python -m MODULE`, told its settings by EPIPAR_<NAME>_*."""

    name: Service
    module: str
    distribution: str
    default_port: int

    @property
    def env_prefix(self) -> str:
        """Prefix of its settings, for example "EPIPAR_DEPTH_"."""
        return f"EPIPAR_{self.name.upper()}_"

    @property
    def installed(self) -> bool:
        """True if its module can be found by this interpreter."""
        return find_spec(self.module) is not None


DEPTH = ServiceSpec("depth", "epipar_depth", "epipar-depth", 50051)
EXPORT = ServiceSpec("export", "epipar_export", "epipar-export", 50052)
SERVICES = (DEPTH, EXPORT)
