"""Who may call: a token of one issuer, checked by Envoy before anything else hears of the call."""

from __future__ import annotations

from urllib.parse import urlsplit

from epipar_envoy.settings import EnvoySettings, items
from epipar_envoy.typed import Config, http_filter, typed

JWKS_CLUSTER = "jwks"
SUBJECT_HEADER = "x-epipar-subject"
"""Carries the verified subject to the services; nobody outside can set it."""

_PROVIDER = "issuer"
_GUARDED = ("/epipar.", "/uploads", "/files/")


def jwt_filter(settings: EnvoySettings) -> Config:
    """Return the filter. The viewer's page, /healthz and CORS preflights need no token."""
    return http_filter(
        "jwt_authn",
        "jwt_authn.v3.JwtAuthentication",
        providers={
            _PROVIDER: {
                "issuer": settings.jwt_issuer,
                "audiences": items(settings.jwt_audiences),
                "forward": False,
                "require_expiration": True,
                "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
                "claim_to_headers": [{"header_name": SUBJECT_HEADER, "claim_name": "sub"}],
                **_keys(settings),
            }
        },
        rules=[
            {"match": {"prefix": prefix}, "requires": {"provider_name": _PROVIDER}}
            for prefix in _GUARDED
        ],
        bypass_cors_preflight=True,
    )


def jwks_cluster(settings: EnvoySettings) -> Config | None:
    """Return the cluster that keys are fetched from; None where they come from a file."""
    if not settings.jwt_jwks_uri:
        return None
    parts = urlsplit(settings.jwt_jwks_uri)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    cluster: Config = {
        "name": JWKS_CLUSTER,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": JWKS_CLUSTER,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {
                                "address": {"socket_address": {"address": host, "port_value": port}}
                            }
                        }
                    ]
                }
            ],
        },
    }
    if parts.scheme == "https":
        cluster["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": typed(
                "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                sni=host,
                common_tls_context={
                    "validation_context": {
                        "trusted_ca": {"filename": str(settings.jwt_jwks_ca)},
                        "match_typed_subject_alt_names": [
                            {"san_type": "DNS", "matcher": {"exact": host}}
                        ],
                    }
                },
            ),
        }
    return cluster


def _keys(settings: EnvoySettings) -> Config:
    if settings.jwt_jwks_file is not None:
        return {"local_jwks": {"filename": str(settings.jwt_jwks_file.resolve())}}
    return {
        "remote_jwks": {
            "http_uri": {"uri": settings.jwt_jwks_uri, "cluster": JWKS_CLUSTER, "timeout": "5s"},
            "cache_duration": "300s",
            "async_fetch": {"fast_listener": False},
            "retry_policy": {"num_retries": 3},
        }
    }
