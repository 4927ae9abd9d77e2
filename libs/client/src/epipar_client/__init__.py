"""A typed async client of Epipar: videos and photos become 3D scenes, scenes become files.

    async with EpiparClient(depth="127.0.0.1:50051", export="127.0.0.1:50052") as client:
        async for event in client.reconstruct("uploads/clip.mp4", "scenes/kitchen"):
            print(event)
        export = await client.export("scenes/kitchen", on_progress=print)

What a call can fail with, and what to do then, stands in `epipar_client.errors`.
"""

from __future__ import annotations

from epipar_client.call import Call
from epipar_client.channel import Tls
from epipar_client.client import EpiparClient
from epipar_client.errors import (
    AccessError,
    AlreadyExistsError,
    CallCancelledError,
    CorruptArtifactError,
    DeadlineExceededError,
    EpiparError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotReadyError,
    ServiceError,
    UnavailableError,
)
from epipar_client.options import (
    Camera,
    Da3Options,
    DepthOptions,
    ExportOptions,
    InlineImage,
    MvsOptions,
    OutlierRemoval,
    SurfaceOptions,
)
from epipar_client.retry import Retry
from epipar_client.types import (
    Artifact,
    Capabilities,
    Engine,
    ExportResult,
    Level,
    Model,
    Progress,
    SceneResult,
)
from epipar_client.version import VERSION as __version__  # noqa: N811 - the name every package has

__all__ = [
    "AccessError",
    "AlreadyExistsError",
    "Artifact",
    "Call",
    "CallCancelledError",
    "Camera",
    "Capabilities",
    "CorruptArtifactError",
    "Da3Options",
    "DeadlineExceededError",
    "DepthOptions",
    "Engine",
    "EpiparClient",
    "EpiparError",
    "ExportOptions",
    "ExportResult",
    "InlineImage",
    "InvalidInputError",
    "Level",
    "LimitExceededError",
    "Model",
    "MvsOptions",
    "NotFoundError",
    "NotReadyError",
    "OutlierRemoval",
    "Progress",
    "Retry",
    "SceneResult",
    "ServiceError",
    "SurfaceOptions",
    "Tls",
    "UnavailableError",
    "__version__",
]
