"""The services behind the door: where they are, whether they are well, how much they get."""

from __future__ import annotations

import ipaddress

from epipar_envoy.jwt import jwks_cluster
from epipar_envoy.services import UPSTREAMS, WEB
from epipar_envoy.settings import EnvoySettings, host_and_port
from epipar_envoy.tls import upstream_tls
from epipar_envoy.traces import COLLECTOR
from epipar_envoy.typed import Config, socket_address, typed

ADMIN = "admin"

_MIB = 1 << 20
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def clusters(settings: EnvoySettings) -> list[Config]:
    """Return all of them; services without an address are left out."""
    found = [
        _grpc_cluster(upstream.name, upstream.address(settings), upstream.health, settings)
        for upstream in UPSTREAMS
        if upstream.address(settings)
    ]
    found.append(_web_cluster(settings))
    jwks = jwks_cluster(settings)
    if jwks is not None:
        found.append(jwks)
    if settings.trace_address:
        found.append(_collector_cluster(settings))
    if settings.metrics_port:
        found.append(_base(ADMIN, f"127.0.0.1:{settings.admin_port}"))
    return found


def _grpc_cluster(name: str, address: str, health: str, settings: EnvoySettings) -> Config:
    host, _ = host_and_port(address)
    cluster = _base(name, address)
    cluster["health_checks"] = [
        {**_health_pace(), "grpc_health_check": {"service_name": health, "authority": host}}
    ]
    http2 = {
        "max_concurrent_streams": 1000,
        "initial_stream_window_size": _MIB,
        "initial_connection_window_size": 8 * _MIB,
        # A peer that vanished without a word is found within 40 s.
        "connection_keepalive": {"interval": "30s", "timeout": "10s"},
    }
    cluster["typed_extension_protocol_options"] = {
        _HTTP_OPTIONS: typed(_HTTP_OPTIONS, explicit_http_config={"http2_protocol_options": http2})
    }
    tls = upstream_tls(settings, host, is_ip=_is_ip(host))
    if tls is not None:
        cluster["transport_socket"] = tls
    return cluster


def _web_cluster(settings: EnvoySettings) -> Config:
    host, _ = host_and_port(settings.gateway_http_address)
    cluster = _base(WEB, settings.gateway_http_address)
    check = {"path": "/healthz", "host": host}
    cluster["health_checks"] = [{**_health_pace(), "http_health_check": check}]
    cluster["typed_extension_protocol_options"] = {
        _HTTP_OPTIONS: typed(
            _HTTP_OPTIONS,
            # Shorter than the gateway keeps an idle connection: no request meets a closing one.
            common_http_protocol_options={"idle_timeout": "60s"},
            explicit_http_config={"http_protocol_options": {}},
        )
    }
    return cluster


def _collector_cluster(settings: EnvoySettings) -> Config:
    cluster = _base(COLLECTOR, settings.trace_address)
    cluster["typed_extension_protocol_options"] = {
        _HTTP_OPTIONS: typed(_HTTP_OPTIONS, explicit_http_config={"http2_protocol_options": {}})
    }
    return cluster


def _base(name: str, address: str) -> Config:
    """Return a cluster of one address: an IP as it stands, a name looked up again and again."""
    host, port = host_and_port(address)
    cluster: Config = {
        "name": name,
        "type": "STATIC" if _is_ip(host) else "STRICT_DNS",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [
                {
                    "lb_endpoints": [
                        {"endpoint": {"address": socket_address(host, port), "hostname": host}}
                    ]
                }
            ],
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 256,
                    "max_pending_requests": 512,
                    "max_requests": 2000,
                    "max_retries": 8,
                    "track_remaining": True,
                }
            ]
        },
        # Where nothing is well, say so: do not try at random.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_time": 60, "keepalive_interval": 10, "keepalive_probes": 3}
        },
    }
    if not _is_ip(host):
        cluster |= {
            "lb_policy": "LEAST_REQUEST",
            "dns_lookup_family": "V4_PREFERRED",
            "dns_refresh_rate": "5s",
            "ignore_health_on_host_removal": True,
            "outlier_detection": {
                "consecutive_gateway_failure": 5,
                "base_ejection_time": "15s",
                "max_ejection_percent": 50,
            },
        }
    return cluster


def _health_pace() -> Config:
    return {
        "timeout": "2s",
        "interval": "5s",
        "interval_jitter": "0.5s",
        "no_traffic_interval": "5s",
        "unhealthy_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
    }


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
