"""The parts of a suite that this command can start, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from epipar_client.transport import Service

PartName: TypeAlias = Literal["depth", "export", "inpaint", "gateway", "envoy"]
Role: TypeAlias = Literal["compute", "gateway", "door"]


@dataclass(frozen=True, slots=True)
class PartSpec:
    """One part: started as `python -m MODULE`, told its settings by EPIPAR_<NAME>_*.

    Attributes:
        name: of the service, and of its settings.
        module: package with a `__main__`.
        distribution: what to install to have it.
        default_port: taken if it is free.
        role: "compute" works on the store, the "gateway" gives it work, the "door" is what the
            world sees of all of them.
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
        return find_spec(self.module) is not None and _has_main(self.module)


def service_of(spec: PartSpec) -> Service:
    """Return the name that the client knows a part's gRPC service by."""
    if spec.name == "envoy":
        raise AssertionError("Envoy has no service of its own")
    return spec.name


def _has_main(module: str) -> bool:
    return find_spec(f"{module}.__main__") is not None


DEPTH = PartSpec("depth", "epipar_depth", "epipar-depth", 50051)
EXPORT = PartSpec("export", "epipar_export", "epipar-export", 50052)
INPAINT = PartSpec("inpaint", "epipar_inpaint", "epipar-inpaint", 50053)
GATEWAY = PartSpec("gateway", "epipar_gateway", "epipar-gateway", 50050, "gateway")
ENVOY = PartSpec("envoy", "epipar_envoy", "epipar-envoy", 8080, "door")

PARTS = (DEPTH, EXPORT, INPAINT, GATEWAY, ENVOY)
COMPUTE = tuple(spec for spec in PARTS if spec.role == "compute")
GATEWAY_HTTP_PORT = 50060
