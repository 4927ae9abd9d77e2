"""A typed async client of Epipar: videos and photos become 3D scenes, scenes become files.

    async with EpiparClient("http://127.0.0.1:8080") as client:
        upload = await client.upload("clip.mp4", on_progress=print)
        job = await client.start_reconstruction(upload.name)
        async for event in client.watch_job(job.name):
            print(event)

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
from epipar_client.inpaint_options import (
    Box,
    CompleteOptions,
    MaskOptions,
    NerfillerOptions,
    Sphere,
)
from epipar_client.inpaint_types import (
    CompleteResult,
    CompletionEngine,
    FrameHoles,
    MaskResult,
)
from epipar_client.job_calls import error_from_job
from epipar_client.job_types import Attempt, Failure, Job, JobEvent, Step, StepProgress
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
from epipar_client.scene_types import Scene, SceneCompletion, SceneExport, Upload
from epipar_client.types import (
    Artifact,
    Capabilities,
    Engine,
    ExportResult,
    Level,
    Model,
    Progress,
    SceneResult,
    SurfaceLevel,
)
from epipar_client.version import VERSION as __version__  # noqa: N811 - the name every package has

__all__ = [
    "AccessError",
    "AlreadyExistsError",
    "Artifact",
    "Attempt",
    "Box",
    "Call",
    "CallCancelledError",
    "Camera",
    "Capabilities",
    "CompleteOptions",
    "CompleteResult",
    "CompletionEngine",
    "CorruptArtifactError",
    "Da3Options",
    "DeadlineExceededError",
    "DepthOptions",
    "Engine",
    "EpiparClient",
    "EpiparError",
    "ExportOptions",
    "ExportResult",
    "Failure",
    "FrameHoles",
    "InlineImage",
    "InvalidInputError",
    "Job",
    "JobEvent",
    "Level",
    "LimitExceededError",
    "MaskOptions",
    "MaskResult",
    "Model",
    "MvsOptions",
    "NerfillerOptions",
    "NotFoundError",
    "NotReadyError",
    "OutlierRemoval",
    "Progress",
    "Retry",
    "Scene",
    "SceneCompletion",
    "SceneExport",
    "SceneResult",
    "ServiceError",
    "Sphere",
    "Step",
    "StepProgress",
    "SurfaceLevel",
    "SurfaceOptions",
    "Tls",
    "UnavailableError",
    "Upload",
    "__version__",
    "error_from_job",
]
