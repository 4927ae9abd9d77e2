"""Settings of the depth service, EPIPAR_DEPTH_*."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from epipar_depth.da3.settings import Da3Settings
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
    da3_python: str = Field(
        default=sys.executable,
        description="Interpreter with torch and depth-anything-3; it runs the model hosts.",
    )
    da3_devices: str = Field(
        default="auto", description="auto (each GPU, else the CPU), cpu, or like cuda:0,cuda:1."
    )
    da3_models_dir: Path = Field(
        default_factory=lambda: Da3Settings().models_dir,
        description="The models' lock file, and weights by name.",
    )
    da3_models_file: Path | None = Field(
        default=None, description="JSON list of further models; see docs/da3.md."
    )
    da3_calibration_dir: Path | None = Field(
        default=None, description="Fitted calibrations of confidence, MODEL.json each."
    )
    da3_offline: bool = Field(default=False, description="Never ask the hub.")
    da3_memory_mib: int = Field(
        default=0, ge=0, le=10**7, description="Memory of a model host; 0: what is free."
    )
    da3_max_models: int = Field(
        default=2, ge=1, le=16, description="Models loaded at once on each device."
    )
    da3_threads: int = Field(
        default=0, ge=0, le=1024, description="Threads of a model host on the CPU; 0: the cores."
    )
    da3_warm: str = Field(default="", description="Model to load when the service starts.")

    def da3(self) -> Da3Settings:
        """Return what the engine "da3" is told."""
        return Da3Settings(**{name: getattr(self, f"da3_{name}") for name in Da3Settings.__slots__})
