"""Settings of the inpaint service, EPIPAR_INPAINT_*."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from epipar_kit.settings import ServerSettings


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class InpaintSettings(ServerSettings):
    """What the inpaint service can be told beside what every service can."""

    model_config = SettingsConfigDict(env_prefix="EPIPAR_INPAINT_")

    port: int = Field(default=50053, ge=0, le=65535, description="Port; 0 takes a free one.")
    max_streams: int = Field(
        default=2,
        ge=1,
        le=1000,
        description="Mask sets and completions that are made at once; more are refused.",
    )
    threads: int = Field(
        default_factory=_cores,
        ge=1,
        le=256,
        description="Frames that one call works on at a time (default: the cores).",
    )
    warm: bool = Field(
        default=True,
        description="Compile the kernels in the background after the first start of a version.",
    )
    nerfiller_python: str = Field(
        default="",
        description="Python of services/inpaint/worker's environment; enables engine nerfiller.",
    )
    nerfiller_settings: str = Field(
        default="{}",
        description="JSON object: defaults of the worker's settings (model_id, model_revision, …).",
    )
    nerfiller_device: Literal["auto", "cuda", "cpu"] = Field(
        default="auto", description="Where the nerfiller worker runs."
    )
    nerfiller_upstream_python: str = Field(
        default="",
        description="Python of an environment with the published NeRFiller; enables its engine.",
    )
    runner: Literal["subprocess", "kubernetes"] = Field(
        default="subprocess", description="Where engine nerfiller runs: here, or as Jobs."
    )
    kubernetes_template: str = Field(
        default="inpaint-run",
        description="Of a run's Job: a CronJob of the namespace, or the path of a manifest.",
    )
    kubernetes_namespace: str = Field(
        default="", description="Where the Jobs are made; by default the service's own namespace."
    )
    kubernetes_context: str = Field(
        default="",
        description="Context of kubectl's configuration; by default the cluster around the service.",
    )
    kubernetes_queue: str = Field(
        default="", description="Queue of Kueue that admits the runs; else what the template says."
    )
    kubernetes_patience_s: float = Field(
        default=120, gt=0, le=86_400, description="How long a silent cluster is asked again."
    )
    kubernetes_pull_patience_s: float = Field(
        default=600, gt=0, le=86_400, description="How long an image may fail to be pulled."
    )
    kubernetes_look_s: float = Field(
        default=2, gt=0, le=86_400, description="How often progress is looked for in the store."
    )
    kubernetes_watch_s: float = Field(
        default=300, gt=0, le=86_400, description="How long one watch is kept open."
    )
    kubernetes_cancel_s: float = Field(
        default=4, gt=0, le=86_400, description="How long a cancel waits for the checkpoint."
    )
