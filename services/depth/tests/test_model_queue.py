"""The queue of a model host stands on the metrics page, and reading the page starts no host."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from epipar_depth.da3.client import HostStatus
from epipar_depth.da3.hosts import HostPool
from epipar_depth.da3.queue_lengths import HostQueueLengths
from epipar_depth.da3.settings import Da3Settings


def page(collector: HostQueueLengths) -> str:
    registry = CollectorRegistry()
    registry.register(collector)
    return generate_latest(registry).decode()


def test_each_host_tells_what_waits_for_it() -> None:
    told = [
        HostStatus("cuda:0", ("da3-small",), jobs=3, waiting=2, busy=True, free_mib=900),
        HostStatus("cuda:1", (), jobs=0, waiting=0, busy=False, free_mib=20_000),
    ]
    shown = page(HostQueueLengths(lambda: told))
    for line in (
        'epipar_model_queue_length{device="cuda:0"} 2.0',
        'epipar_model_queue_length{device="cuda:1"} 0.0',
        'epipar_model_jobs{device="cuda:0"} 3.0',
        'epipar_model_busy{device="cuda:0"} 1.0',
        'epipar_model_busy{device="cuda:1"} 0.0',
    ):
        assert line in shown.splitlines()


def test_without_a_host_there_is_no_series_and_none_is_started() -> None:
    with HostPool(Da3Settings()) as hosts:
        assert page(HostQueueLengths(hosts.statuses)) == ""
        assert hosts.pids() == []
