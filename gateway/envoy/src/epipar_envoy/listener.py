"""The listeners: the public one, and one that shows the counters where that is wanted."""

from __future__ import annotations

from epipar_envoy.access_log import access_log
from epipar_envoy.clusters import ADMIN
from epipar_envoy.filters import http_filters
from epipar_envoy.jwt import SUBJECT_HEADER
from epipar_envoy.routes import route_config
from epipar_envoy.settings import EnvoySettings
from epipar_envoy.tls import public_tls
from epipar_envoy.traces import tracing
from epipar_envoy.typed import Config, http_filter, seconds, socket_address, typed

PUBLIC = "public"
METRICS = "metrics"

_MIB = 1 << 20
_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def listeners(settings: EnvoySettings) -> list[Config]:
    """Return them."""
    found = [_listener(PUBLIC, settings.host, settings.port, _public_manager(settings))]
    tls = public_tls(settings)
    if tls is not None:
        found[0]["filter_chains"][0]["transport_socket"] = tls
    if settings.metrics_port:
        manager = _metrics_manager()
        found.append(_listener(METRICS, settings.metrics_host, settings.metrics_port, manager))
    return found


def _listener(name: str, host: str, port: int, manager: Config) -> Config:
    return {
        "name": name,
        "address": socket_address(host, port),
        "enable_reuse_port": False,  # else a second Envoy would share the port without a word
        "per_connection_buffer_limit_bytes": _MIB,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }


def _public_manager(settings: EnvoySettings) -> Config:
    fields: Config = {
        "stat_prefix": PUBLIC,
        "codec_type": "AUTO",
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        # What one side reads as a slash and the other as a letter leads past every rule.
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "server_name": "epipar",
        "generate_request_id": True,
        "http2_protocol_options": {
            "max_concurrent_streams": 256,
            "initial_stream_window_size": _MIB,
            "initial_connection_window_size": 4 * _MIB,
            "connection_keepalive": {"interval": "30s", "timeout": "20s"},
        },
        "common_http_protocol_options": {
            "idle_timeout": "3600s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "request_headers_timeout": "10s",
        "stream_idle_timeout": seconds(max(settings.stream_idle_s, settings.upload_idle_s)),
        "delayed_close_timeout": "1s",
        "drain_timeout": "1s",
        "early_header_mutation_extensions": [_drop_forged_headers()],
        "access_log": access_log(settings),
        "http_filters": http_filters(settings),
        "route_config": route_config(settings),
    }
    traces = tracing(settings)
    if traces is not None:
        fields["tracing"] = traces
    if settings.tls:
        fields["route_config"]["response_headers_to_add"] = [
            {"header": {"key": "strict-transport-security", "value": "max-age=31536000"}}
        ]
    return typed(_MANAGER, **fields)


def _drop_forged_headers() -> Config:
    """Nobody outside may say who he is but by a token."""
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": typed(
            "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            mutations=[{"remove": SUBJECT_HEADER}],
        ),
    }


def _metrics_manager() -> Config:
    page = "/stats/prometheus"
    return typed(
        _MANAGER,
        stat_prefix=METRICS,
        codec_type="AUTO",
        http_filters=[http_filter("router", "router.v3.Router")],
        route_config={
            "name": METRICS,
            "virtual_hosts": [
                {
                    "name": METRICS,
                    "domains": ["*"],
                    "routes": [
                        {"match": {"path": page}, "route": {"cluster": ADMIN}},
                        {
                            "match": {"path": "/metrics"},
                            "route": {"cluster": ADMIN, "prefix_rewrite": page},
                        },
                    ],
                }
            ],
        },
    )
