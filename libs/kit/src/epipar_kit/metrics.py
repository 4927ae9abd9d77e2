"""Prometheus metrics of one server, and the HTTP page that shows them.

What is no one server's (stages of jobs, bytes, spans) is counted in meters.py and shown here too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from epipar_kit import meters
from epipar_kit.gpu_memory import GpuMemory

_RPC_BUCKETS_S = (0.005, 0.02, 0.1, 0.5, 2, 10, 30, 120, 600, 3600)


class ServerMetrics:
    """The counters of one server, in a registry of their own.

    Attributes:
        registry: where a service registers what it counts beside these.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.rpc_started = Counter(
            "epipar_rpc_started", "Calls begun.", ["method"], registry=self.registry
        )
        self.rpc_finished = Counter(
            "epipar_rpc_finished",
            "Calls ended, by gRPC code.",
            ["method", "code"],
            registry=self.registry,
        )
        self.rpc_seconds = Histogram(
            "epipar_rpc_seconds",
            "How long calls took.",
            ["method"],
            buckets=_RPC_BUCKETS_S,
            registry=self.registry,
        )
        self.rpc_in_flight = Gauge(
            "epipar_rpc_in_flight", "Calls running now.", ["method"], registry=self.registry
        )
        self.slots = Gauge(
            "epipar_slots",
            "Streams a service may run at once.",
            ["rpc_service"],
            registry=self.registry,
        )
        self.slots_taken = Gauge(
            "epipar_slots_taken", "Streams it runs now.", ["rpc_service"], registry=self.registry
        )
        meters.show_on(self.registry)
        self.registry.register(GpuMemory())


@contextmanager
def metrics_page(metrics: ServerMetrics, *, host: str, port: int) -> Iterator[int]:
    """Serve the metrics as HTTP /metrics; yields the port, useful where 0 was asked for.

    Raises:
        OSError: the port is taken.
    """
    server, thread = start_http_server(port, addr=host, registry=metrics.registry)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
