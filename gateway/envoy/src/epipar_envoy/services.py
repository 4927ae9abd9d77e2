"""The gRPC services behind the door, and how their calls behave."""

from __future__ import annotations

from dataclasses import dataclass

from epipar_envoy.settings import EnvoySettings


@dataclass(frozen=True, slots=True)
class Upstream:
    """One process that serves gRPC.

    Attributes:
        name: of the cluster, such as "depth".
        package: all services below this one are its own, such as "epipar.depth.v1".
        health: service whose gRPC health is watched.
        streams: methods that stream, as "Service/Method".
        reads: methods that change nothing and may be repeated after any failure.
        what: what a caller misses without it.
    """

    name: str
    package: str
    health: str
    streams: tuple[str, ...]
    reads: tuple[str, ...]
    what: str

    def __post_init__(self) -> None:
        if set(self.streams) & set(self.reads):
            raise ValueError(f"{self.name} has methods that are streams and reads")

    def address(self, settings: EnvoySettings) -> str:
        """Return "host:port", "" where it is not there."""
        return str(getattr(settings, f"{self.name}_address"))


UPSTREAMS = (
    Upstream(
        "gateway",
        "epipar.scene.v1",
        "epipar.scene.v1.JobService",
        streams=("JobService/WatchJob",),
        reads=(
            "JobService/GetJob",
            "JobService/ListJobs",
            "SceneService/GetScene",
            "SceneService/ListScenes",
        ),
        what="scenes and jobs",
    ),
    Upstream(
        "depth",
        "epipar.depth.v1",
        "epipar.depth.v1.DepthService",
        streams=("DepthService/Predict",),
        reads=("DepthService/ListEngines",),
        what="the depth service",
    ),
    Upstream(
        "export",
        "epipar.export.v1",
        "epipar.export.v1.ExportService",
        streams=("ExportService/Export",),
        reads=(),
        what="the export service",
    ),
    Upstream(
        "inpaint",
        "epipar.inpaint.v1",
        "epipar.inpaint.v1.InpaintService",
        streams=("InpaintService/MaskIncomplete", "InpaintService/Complete"),
        reads=("InpaintService/ListEngines",),
        what="the inpaint service",
    ),
)

WEB = "gateway_http"
"""Cluster of the gateway's HTTP: uploads, files and the viewer."""
