"""TLS of both sides: towards the public, and towards the services."""

from __future__ import annotations

from pathlib import Path

from epipar_envoy.settings import EnvoySettings
from epipar_envoy.typed import Config, typed

_SOCKETS = "envoy.extensions.transport_sockets.tls.v3."
_PARAMETERS = {"tls_minimum_protocol_version": "TLSv1_2"}


def public_tls(settings: EnvoySettings) -> Config | None:
    """Return the TLS of the public listener, None where it is off."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(
            _SOCKETS + "DownstreamTlsContext",
            common_tls_context={
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_params": _PARAMETERS,
                "tls_certificates": [_pair(settings.tls_cert, settings.tls_key)],
            },
        ),
    }


def upstream_tls(settings: EnvoySettings, host: str, *, is_ip: bool) -> Config | None:
    """Return the TLS towards one gRPC service, None where it is off.

    Args:
        settings: with the authorities.
        host: that the certificate must be of.
        is_ip: it is an address and no name.
    """
    if settings.upstream_ca is None:
        return None
    context: Config = {
        "alpn_protocols": ["h2"],
        "tls_params": _PARAMETERS,
        "validation_context": {
            "trusted_ca": {"filename": str(settings.upstream_ca.resolve())},
            "match_typed_subject_alt_names": [
                {"san_type": "IP_ADDRESS" if is_ip else "DNS", "matcher": {"exact": host}}
            ],
        },
    }
    if settings.upstream_cert is not None and settings.upstream_key is not None:
        context["tls_certificates"] = [_pair(settings.upstream_cert, settings.upstream_key)]
    server_name = {} if is_ip else {"sni": host}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(
            _SOCKETS + "UpstreamTlsContext", common_tls_context=context, **server_name
        ),
    }


def _pair(cert: Path, key: Path) -> Config:
    return {
        "certificate_chain": {"filename": str(cert.resolve())},
        "private_key": {"filename": str(key.resolve())},
    }
