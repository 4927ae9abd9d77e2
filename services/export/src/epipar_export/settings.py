"""Settings of the export service, EPIPAR_EXPORT_*."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from epipar_kit.settings import ServerSettings


class ExportSettings(ServerSettings):
    """What the export service can be told beside what every service can."""

    model_config = SettingsConfigDict(env_prefix="EPIPAR_EXPORT_")

    port: int = Field(default=50052, ge=0, le=65535, description="Port; 0 takes a free one.")
    max_streams: int = Field(
        default=2, ge=1, le=1000, description="Exports that run at once; more are refused."
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Threads of one export; 0: one for each core, at most 16.",
    )
