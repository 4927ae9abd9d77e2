"""Settings of the depth service, EPIPAR_DEPTH_*."""

from __future__ import annotations

import os

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from epipar_kit.settings import ServerSettings


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class DepthSettings(ServerSettings):
    """What the depth service can be told beside what every service can."""

    model_config = SettingsConfigDict(env_prefix="EPIPAR_DEPTH_")

    port: int = Field(default=50051, ge=0, le=65535, description="Port; 0 takes a free one.")
    max_streams: int = Field(
        default=2, ge=1, le=1000, description="Predictions that run at once; more are refused."
    )
    processes: int = Field(
        default_factory=_cores,
        ge=1,
        le=1024,
        description="Processes that one prediction spreads its frames over (default: the cores).",
    )
