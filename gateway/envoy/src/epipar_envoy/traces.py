"""Envoy's own spans: one for each request, to the collector that the services send theirs to."""

from __future__ import annotations

from epipar_envoy.settings import EnvoySettings
from epipar_envoy.typed import Config, typed

COLLECTOR = "collector"
SERVICE = "epipar-envoy"


def tracing(settings: EnvoySettings) -> Config | None:
    """Return how requests are traced; None where they are not.

    A request that brings a trace is a part of it either way, and kept or not as its caller says.
    """
    if not settings.trace_address:
        return None
    return {
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": typed(
                "envoy.config.trace.v3.OpenTelemetryConfig",
                # A collector that is slow or dead costs a request nothing: spans are dropped.
                grpc_service={"envoy_grpc": {"cluster_name": COLLECTOR}, "timeout": "1s"},
                service_name=SERVICE,
            ),
        },
        "random_sampling": {"value": settings.trace_percent},
        "overall_sampling": {"value": 100},
        "spawn_upstream_span": False,
        "operation": "%REQ(:METHOD)% %PATH(NQ)%",
        # Without its query: signed URLs carry their right in it.
        "custom_tags": [{"tag": "http.url", "value": "%PATH(NQ)%"}],
    }
