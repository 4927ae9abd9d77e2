"""Ready sets of settings, to look at and to test: what differs between a laptop and a cluster."""

from __future__ import annotations

from typing import Any

_LAPTOP: dict[str, Any] = {
    "depth_address": "127.0.0.1:50051",
    "export_address": "127.0.0.1:50052",
    "inpaint_address": "127.0.0.1:50053",
}
_CLUSTER: dict[str, Any] = {
    "host": "0.0.0.0",  # noqa: S104 - in a pod, behind a Service
    "admin_port": 9901,
    "metrics_host": "0.0.0.0",  # noqa: S104 - likewise
    "metrics_port": 9902,
    "gateway_address": "gateway:50050",
    "gateway_http_address": "gateway:50060",
    "depth_address": "depth:50051",
    "export_address": "export:50052",
    "inpaint_address": "inpaint:50053",
}
_JWT: dict[str, Any] = {
    "jwt_issuer": "https://issuer.example",
    "jwt_audiences": "epipar",
    "jwt_jwks_uri": "https://issuer.example/.well-known/jwks.json",
}
_TLS: dict[str, Any] = {
    "tls_cert": "/etc/epipar/tls/tls.crt",
    "tls_key": "/etc/epipar/tls/tls.key",
}

VARIANTS: dict[str, dict[str, Any]] = {
    "laptop": _LAPTOP,
    "cluster": {**_CLUSTER, "allow_public_without_auth": True},
    "jwt": {**_LAPTOP, **_JWT},
    "tls": {**_LAPTOP, **_TLS},
    "traced": {**_LAPTOP, "trace_address": "127.0.0.1:4317"},
    "public": {**_CLUSTER, **_JWT, **_TLS},
}
"""Values of EnvoySettings by the name of the variant."""
