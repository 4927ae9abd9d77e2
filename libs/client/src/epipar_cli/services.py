"""The parts of a suite that this command can start, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from epipar_client.transport import Service

PartName: TypeAlias = Literal["depth", "export", "inpaint", "gateway", "envoy", "files"]
Role: TypeAlias = Literal["compute", "gateway", "door", "files"]


@dataclass(frozen=True, slots=True)
class PartSpec:
    """One part: started as `python -m MODULE`, told its settings by EPIPAR_<NAME>_*.

    Attributes:
        name: of the service, and of its settings.
        module: what `python -m` runs.
        distribution: what to install to have it.
        default_port: taken if it is free.
        role: "compute" works on the store, the "gateway" gives it work, the "door" is what the
            world sees of all of them; "files" shows a folder and is no part of a suite.
    """

    name: PartName
    module: str
    distribution: str
    default_port: int
    role: Role = "compute"

    @property
    def env_prefix(self) -> str:
        """Prefix of its settings, for example "EPIPAR_DEPTH_"."""
        return f"EPIPAR_{self.name.upper()}_"

    @property
    def installed(self) -> bool:
        """True if this interpreter can run it."""
        found = find_spec(self.module)
        if found is None or found.submodule_search_locations is None:
            return found is not None
        return find_spec(f"{self.module}.__main__") is not None


def service_of(spec: PartSpec) -> Service:
    """Return the name that the client knows a part's gRPC service by."""
    if spec.name == "envoy" or spec.name == "files":
        raise AssertionError(f"{spec.name} has no gRPC service of its own")
    return spec.name


DEPTH = PartSpec("depth", "epipar_depth", "epipar-depth", 50051)
EXPORT = PartSpec("export", "epipar_export", "epipar-export", 50052)
INPAINT = PartSpec("inpaint", "epipar_inpaint", "epipar-inpaint", 50053)
GATEWAY = PartSpec("gateway", "epipar_gateway", "epipar-gateway", 50050, "gateway")
ENVOY = PartSpec("envoy", "epipar_envoy", "epipar-envoy", 8080, "door")
FILES = PartSpec("files", "epipar_gateway.serve_files", "epipar-gateway", 0, "files")

PARTS = (DEPTH, EXPORT, INPAINT, GATEWAY, ENVOY)
COMPUTE = tuple(spec for spec in PARTS if spec.role == "compute")
GATEWAY_HTTP_PORT = 50060
