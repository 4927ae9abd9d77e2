"""How many chunks wait for each model host, asked of the hosts when somebody reads the metrics page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from epipar_depth.da3.client import HostStatus


class HostQueueLengths(Collector):
    """Shows epipar_model_queue_length and its companions; no series while no host runs.

    Args:
        read: asks the hosts that run, and starts none; see HostPool.statuses.
    """

    def __init__(self, read: Callable[[], Sequence[HostStatus]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """Ask them."""
        found = self._read()
        if not found:
            return
        waiting = GaugeMetricFamily(
            "epipar_model_queue_length",
            "Chunks that wait for a model host, of all jobs; the one that runs is not counted.",
            labels=["device"],
        )
        jobs = GaugeMetricFamily(
            "epipar_model_jobs", "Jobs that are connected to a model host.", labels=["device"]
        )
        busy = GaugeMetricFamily(
            "epipar_model_busy", "1 while a model host runs a chunk, else 0.", labels=["device"]
        )
        for status in found:
            waiting.add_metric([status.device], status.waiting)
            jobs.add_metric([status.device], status.jobs)
            busy.add_metric([status.device], status.busy)
        yield from (waiting, jobs, busy)
