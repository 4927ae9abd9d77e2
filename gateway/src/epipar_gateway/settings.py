"""Settings of the gateway, EPIPAR_GATEWAY_*."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from epipar_gateway.database import checked_database_url
from epipar_gateway.files.senders import Redirects
from epipar_gateway.retry import RetryPolicy
from epipar_kit.settings import ServerSettings, is_loopback

_HOUR_S = 3600.0


class GatewaySettings(ServerSettings):
    """What the gateway can be told beside what every service can."""

    model_config = SettingsConfigDict(env_prefix="EPIPAR_GATEWAY_")

    port: int = Field(default=50050, ge=0, le=65535, description="Port of gRPC; 0: a free one.")
    http_host: str = Field(default="127.0.0.1", description="Address of HTTP; Envoy reaches it.")
    http_port: int = Field(
        default=50060, ge=0, le=65535, description="Port of uploads, files, viewer; 0: a free one."
    )
    max_streams: int = Field(
        default=1000, ge=1, le=100_000, description="Watches at once; more are refused."
    )
    max_calls: int = Field(
        default=2000, ge=1, le=1_000_000, description="Calls of any kind at once; more refused."
    )
    database_url: str = Field(
        default="sqlite:///epipar-gateway.sqlite",
        description="sqlite:///FILE (made where it is missing) or postgresql://USER@HOST/NAME.",
    )
    executor_id: str = Field(
        default="gateway",
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="Name of this replica, the same after each restart, its own among replicas.",
    )
    depth_address: str = Field(default="127.0.0.1:50051", description="host:port of depth.")
    export_address: str = Field(default="127.0.0.1:50052", description="host:port of export.")
    inpaint_address: str = Field(default="127.0.0.1:50053", description="host:port of inpaint.")
    depth_concurrency: int = Field(
        default=1, ge=1, le=10_000, description="Predictions at once, over all replicas."
    )
    export_concurrency: int = Field(
        default=1, ge=1, le=10_000, description="Exports at once, over all replicas."
    )
    inpaint_concurrency: int = Field(
        default=1, ge=1, le=10_000, description="Masks and completions at once, over all replicas."
    )
    depth_deadline_s: float = Field(
        default=6 * _HOUR_S, ge=1, le=30 * 86_400, description="Longest prediction, seconds."
    )
    export_deadline_s: float = Field(
        default=2 * _HOUR_S, ge=1, le=30 * 86_400, description="Longest export, seconds."
    )
    inpaint_deadline_s: float = Field(
        default=24 * _HOUR_S, ge=1, le=30 * 86_400, description="Longest completion, seconds."
    )
    disabled_engines: str = Field(
        default="",
        max_length=1000,
        description="Engines that are refused here, comma-separated, such as nerfiller-upstream.",
    )
    retry_max_attempts: int = Field(
        default=12, ge=1, le=1000, description="Calls of one step that may end as UNAVAILABLE."
    )
    retry_first_s: float = Field(
        default=0.5, ge=0.01, le=600, description="Pause after the first of them; it doubles."
    )
    retry_max_pause_s: float = Field(
        default=60.0, ge=0.01, le=3600, description="Longest pause between two attempts, seconds."
    )
    retry_total_s: float = Field(
        default=3600.0,
        ge=1,
        le=7 * 86_400,
        description="No attempt begins so long after a failure.",
    )
    busy_wait_s: float = Field(
        default=120.0, ge=0, le=86_400, description="How long another call may hold the output."
    )
    slot_wait_s: float = Field(
        default=3600.0, ge=0, le=7 * 86_400, description="How long a service may have no free slot."
    )
    queue_poll_s: float = Field(
        default=0.25,
        ge=0.01,
        le=60,
        description="How often the queues are looked at while something happens, seconds.",
    )
    queue_idle_poll_s: float = Field(
        default=4.0,
        ge=0.01,
        le=60,
        description="How often in silence; what is given to a queue here is taken at once.",
    )
    event_poll_s: float = Field(
        default=0.5, ge=0.05, le=60, description="How often other replicas' events are looked for."
    )
    reconcile_s: float = Field(
        default=30.0, ge=0.1, le=3600, description="How often lost jobs are looked for, seconds."
    )
    executor_dead_s: float = Field(
        default=60.0,
        ge=1,
        le=86_400,
        description="A replica silent for so long is taken for dead; its jobs go on elsewhere.",
    )
    max_active_jobs: int = Field(
        default=1000, ge=1, le=1_000_000, description="Jobs that wait or run; more are refused."
    )
    job_retention_days: float = Field(
        default=30.0, ge=0, le=36_500, description="Ended jobs and their events are kept so long."
    )
    request_id_hours: float = Field(
        default=24.0, ge=0, le=87_600, description="A request_id is remembered so long."
    )
    sweep_s: float = Field(
        default=600.0, ge=0.1, le=86_400, description="How often what has expired is removed."
    )
    upload_retention_hours: float = Field(
        default=72.0, ge=0.01, le=87_600, description="Uploads are kept so long."
    )
    max_upload_bytes: int = Field(
        default=20 * 1024**3, ge=1024, le=10 * 1024**4, description="Largest upload."
    )
    files_redirect_s: float = Field(
        default=0.0,
        ge=0,
        le=7 * 86_400,
        description="On an S3 store /files sends clients there by URLs that hold so long; 0: never.",
    )
    files_redirect_min_bytes: int = Field(
        default=1024 * 1024, ge=0, description="Smaller files are sent from here all the same."
    )
    direct_upload_s: int = Field(
        default=0,
        ge=0,
        le=86_400,
        description="On an S3 store POST /uploads/direct gives addresses that take one file by PUT "
        "for so long, seconds; 0: never.",
    )
    web_dir: Path | None = Field(
        default=None, description="Folder of the built viewer; the packaged one by default."
    )

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: str) -> str:
        checked_database_url(value)
        return value

    @model_validator(mode="after")
    def _check_http_is_not_open(self) -> Self:
        if not is_loopback(self.http_host) and not self.allow_insecure_bind:
            raise ValueError(
                f"{self.variable('http_host')} is {self.http_host!r}: HTTP has no TLS here, so "
                f"anybody who reaches it may upload; set {self.variable('allow_insecure_bind')}"
                "=true if only Envoy does"
            )
        return self

    @property
    def refused_engines(self) -> frozenset[str]:
        """Names of engines that are refused."""
        return frozenset(filter(None, map(str.strip, self.disabled_engines.split(","))))

    @property
    def redirects(self) -> Redirects:
        """When clients of /files are sent to the bucket."""
        return Redirects(self.files_redirect_s, self.files_redirect_min_bytes)

    @property
    def bucket_origin(self) -> str:
        """Origin of the signed URLs that pages are given, "" where they are not."""
        endpoint = self.s3.public_endpoint or self.s3.endpoint
        parts = urlsplit(endpoint)
        is_signing = self.files_redirect_s or self.direct_upload_s
        return f"{parts.scheme}://{parts.netloc}" if is_signing and endpoint else ""

    @property
    def addresses(self) -> dict[str, str]:
        """Address by compute service."""
        return {
            "depth": self.depth_address,
            "export": self.export_address,
            "inpaint": self.inpaint_address,
        }

    @property
    def concurrency(self) -> dict[str, int]:
        """Calls at once by compute service."""
        return {
            "depth": self.depth_concurrency,
            "export": self.export_concurrency,
            "inpaint": self.inpaint_concurrency,
        }

    @property
    def deadlines_s(self) -> dict[str, float]:
        """Longest call by compute service."""
        return {
            "depth": self.depth_deadline_s,
            "export": self.export_deadline_s,
            "inpaint": self.inpaint_deadline_s,
        }

    @property
    def retries(self) -> RetryPolicy:
        """Bounds of a step's patience."""
        return RetryPolicy(
            max_attempts=self.retry_max_attempts,
            first_s=self.retry_first_s,
            max_pause_s=self.retry_max_pause_s,
            total_s=self.retry_total_s,
            busy_s=self.busy_wait_s,
            slots_s=self.slot_wait_s,
        )
