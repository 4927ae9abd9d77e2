"""Settings of a service: one frozen class, read from the environment, mistypes refused.

A service subclasses ServerSettings with a prefix of its own::

    class DepthSettings(ServerSettings):
        model_config = SettingsConfigDict(env_prefix="EPIPAR_DEPTH_")
        max_frames: int = Field(default=300, ge=3, le=10_000, description="Frames used, at most.")

and reads it with ``load_settings(DepthSettings)``.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from epipar_kit.s3_options import S3Options, default_scratch
from epipar_kit.settings_words import (
    allowed_in_words,
    default_in_words,
    meaning_of,
    shown,
    type_in_words,
)

SHARED_PREFIXES = ("EPIPAR_STORE_", "EPIPAR_SCRATCH_")
"""Variables that all services of a suite read alike."""


class SettingsError(ValueError):
    """The settings cannot be used; the message has a line for each fault."""


class ServerSettings(BaseSettings):
    """What every service can be told. Names are upper-cased behind the service's prefix."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    store_url: str = Field(
        validation_alias="EPIPAR_STORE_URL",
        description="Artifact store that all services share: file:///folder, or a folder's path, "
        "or s3://bucket/prefix.",
    )
    s3_endpoint: str = Field(
        default="",
        validation_alias="EPIPAR_STORE_S3_ENDPOINT",
        description="URL of the S3 service; else AWS_ENDPOINT_URL, else AWS by its region.",
    )
    s3_public_endpoint: str = Field(
        default="",
        validation_alias="EPIPAR_STORE_S3_PUBLIC_ENDPOINT",
        description="URL of the S3 service as browsers reach it, for signed URLs.",
    )
    s3_region: str = Field(
        default="",
        validation_alias="EPIPAR_STORE_S3_REGION",
        description="Region of the bucket; else AWS_REGION.",
    )
    s3_access_key_id: str = Field(
        default="",
        validation_alias="EPIPAR_STORE_S3_ACCESS_KEY_ID",
        description="Key of the S3 service; else what AWS_* say, a role included.",
    )
    s3_secret_access_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="EPIPAR_STORE_S3_SECRET_ACCESS_KEY",
        description="Secret of that key.",
    )
    s3_patience_s: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        validation_alias="EPIPAR_STORE_S3_PATIENCE_S",
        description="How long a request is repeated while the S3 service does not answer.",
    )
    s3_lease_s: float = Field(
        default=60.0,
        ge=3,
        le=3600,
        validation_alias="EPIPAR_STORE_S3_LEASE_S",
        description="After so long without a sign of life another replica takes an output over.",
    )
    scratch_dir: Path | None = Field(
        default=None,
        validation_alias="EPIPAR_SCRATCH_DIR",
        description="Local folder for work on an S3 store; by default one in the system's own.",
    )
    scratch_max_bytes: int = Field(
        default=20 * 1024**3,
        ge=1024**2,
        le=100 * 1024**4,
        validation_alias="EPIPAR_SCRATCH_MAX_BYTES",
        description="The most that lies there; what nobody uses is dropped, the oldest first.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=50051, ge=0, le=65535, description="Port; 0 takes a free one.")
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Port of HTTP /metrics on the same host; 0 is off."
    )
    ready_file: Path | None = Field(
        default=None, description="JSON file written when the service answers, removed at its end."
    )
    stop_on_stdin_eof: bool = Field(
        default=False, description="Drain when standard input ends: die with whoever started it."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe event that is logged."
    )
    reflection: bool = Field(default=True, description="Answer gRPC reflection (grpcurl list).")
    grace_s: float = Field(
        default=10.0, ge=0, le=3600, description="Seconds running calls get at shutdown."
    )
    max_streams: int = Field(
        default=4, ge=1, le=100_000, description="Streams each service runs at once; more refused."
    )
    max_calls: int = Field(
        default=1000, ge=1, le=1_000_000, description="Calls of any kind at once; more refused."
    )
    max_receive_bytes: int = Field(
        default=20 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024, description="Largest request."
    )
    max_send_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024, description="Largest response."
    )
    keepalive_s: float = Field(
        default=30.0, ge=1, le=7200, description="Seconds of silence before a connection is probed."
    )
    keepalive_timeout_s: float = Field(
        default=10.0, ge=1, le=600, description="Seconds a probed connection has to answer."
    )
    connection_age_s: float = Field(
        default=0.0,
        ge=0,
        le=86_400,
        description="Callers are asked to connect anew after so long, and so find new replicas; "
        "running calls go on. 0: never.",
    )
    tls_cert: Path | None = Field(default=None, description="PEM certificate chain; turns TLS on.")
    tls_key: Path | None = Field(default=None, description="PEM private key of the certificate.")
    tls_client_ca: Path | None = Field(
        default=None, description="PEM authorities; callers must show a certificate of theirs."
    )
    allow_insecure_bind: bool = Field(
        default=False, description="Listen beyond loopback without TLS: anybody there may call."
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_mistyped_variables(cls, values: Any) -> Any:
        prefix = str(cls.model_config.get("env_prefix", "")).upper()
        known = set(_variables(cls))
        faults = [
            f"{name} is no setting; {_nearest(name, known)}"
            for name in sorted(map(str.upper, os.environ))
            if name not in known
            and ((prefix and name.startswith(prefix)) or name.startswith(SHARED_PREFIXES))
        ]
        if faults:
            raise ValueError("\n".join(faults))
        return values

    @model_validator(mode="after")
    def _check_security(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError(
                f"{self.variable('tls_cert')} and {self.variable('tls_key')} go together; "
                "only one is set"
            )
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError(
                f"{self.variable('tls_client_ca')} is set without {self.variable('tls_cert')}"
            )
        if self.tls_cert is None and not is_loopback(self.host) and not self.allow_insecure_bind:
            raise ValueError(
                f"{self.variable('host')} is {self.host!r} without TLS: anybody who reaches it may "
                f"call; set {self.variable('tls_cert')} and {self.variable('tls_key')}, or "
                f"{self.variable('allow_insecure_bind')}=true if that is meant"
            )
        return self

    @model_validator(mode="after")
    def _check_s3(self) -> Self:
        self._s3_options()  # it says what does not go together
        return self

    @property
    def s3(self) -> S3Options:
        """How an S3 store is reached."""
        return self._s3_options()

    def _s3_options(self) -> S3Options:
        return S3Options(
            endpoint=self.s3_endpoint or _aws_endpoint(),
            public_endpoint=self.s3_public_endpoint,
            region=self.s3_region,
            access_key_id=self.s3_access_key_id,
            secret_access_key=self.s3_secret_access_key.get_secret_value(),
            scratch_dir=self.scratch_dir if self.scratch_dir is not None else default_scratch(),
            scratch_max_bytes=self.scratch_max_bytes,
            patience_s=self.s3_patience_s,
            lease_s=self.s3_lease_s,
            sync_s=min(5.0, self.s3_lease_s / 4),
        )

    @classmethod
    def variable(cls, name: str) -> str:
        """Return the environment variable of a setting."""
        return _variable(cls, name, cls.model_fields[name])


_Settings = TypeVar("_Settings", bound=ServerSettings)


def load_settings(cls: type[_Settings], **values: Any) -> _Settings:
    """Read settings from the environment; ``values`` stand above it.

    Raises:
        SettingsError: one line for each fault, naming the variable, the value and what is allowed.
    """
    try:
        return cls(**values)
    except ValidationError as error:
        faults = [_fault_text(cls, fault) for fault in error.errors()]
        raise SettingsError("\n".join(faults)) from None


def describe(cls: type[ServerSettings]) -> str:
    """Return a table of all settings of a class, for --help and the docs."""
    rows = [("variable", "default", "allowed", "meaning")]
    for name, field in cls.model_fields.items():
        rows.append(
            (
                cls.variable(name),
                default_in_words(field),
                allowed_in_words(field) or type_in_words(field),
                meaning_of(field),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def _aws_endpoint() -> str:
    """Return the endpoint that obstore would take from AWS_*: whether it is http:// must be known."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def is_loopback(host: str) -> bool:
    """Tell whether an address reaches this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _variable(cls: type[ServerSettings], name: str, field: FieldInfo) -> str:
    if isinstance(field.validation_alias, str):
        return field.validation_alias
    return (str(cls.model_config.get("env_prefix", "")) + name).upper()


def _variables(cls: type[ServerSettings]) -> list[str]:
    return [_variable(cls, name, field) for name, field in cls.model_fields.items()]


def _nearest(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"


def _fault_text(cls: type[ServerSettings], fault: Any) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    if not fault["loc"]:
        return message
    place = str(fault["loc"][0])
    names = {place, place.lower()}
    for name, field in cls.model_fields.items():
        variable = cls.variable(name)
        if name in names or variable in names:
            if fault["type"] == "missing":
                return f"{variable} is not set; {meaning_of(field)}"
            wanted = allowed_in_words(field) or message[:1].lower() + message[1:]
            return f"{variable} is {shown(fault['input'])}; it must be {wanted}"
    return f"{place} is no setting; {_nearest(place, set(cls.model_fields))}"
