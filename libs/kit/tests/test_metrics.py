"""Metrics of a server's own: work is counted by its outcome."""

from __future__ import annotations

import pytest

from epipar_kit.errors import WorkerDiedError
from epipar_kit.metrics import ServerMetrics


def test_work_is_counted_by_its_outcome() -> None:
    metrics = ServerMetrics()
    with metrics.time_work("mvs"):
        pass
    with pytest.raises(WorkerDiedError), metrics.time_work("mvs"):
        raise WorkerDiedError("died")
    for outcome in ("done", "WorkerDiedError"):
        labels = {"work": "mvs", "outcome": outcome}
        assert metrics.registry.get_sample_value("epipar_work_seconds_count", labels) == 1


def test_two_servers_do_not_share_their_counters() -> None:
    one, two = ServerMetrics(), ServerMetrics()
    one.rpc_started.labels("/a/B").inc()
    assert two.registry.get_sample_value("epipar_rpc_started_total", {"method": "/a/B"}) is None
