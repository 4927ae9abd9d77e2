"""Prometheus metrics of one server, and the HTTP page that shows them."""

from __future__ import annotations

import time
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

_RPC_BUCKETS_S = (0.005, 0.02, 0.1, 0.5, 2, 10, 30, 120, 600, 3600)
_WORK_BUCKETS_S = (0.1, 0.5, 2, 10, 30, 60, 120, 300, 600, 1800, 3600)


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
        self.work_seconds = Histogram(
            "epipar_work_seconds",
            "How long jobs took, by their outcome.",
            ["work", "outcome"],
            buckets=_WORK_BUCKETS_S,
            registry=self.registry,
        )

    @contextmanager
    def time_work(self, work: str) -> Iterator[None]:
        """Count the time a job takes, as "done" or by the name of what ended it.

        Args:
            work: fixed name of the kind of work, such as "mvs".
        """
        started_s = time.monotonic()
        outcome = "done"
        try:
            yield
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            self.work_seconds.labels(work, outcome).observe(time.monotonic() - started_s)


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
