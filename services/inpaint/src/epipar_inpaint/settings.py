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
