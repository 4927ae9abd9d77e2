"""Metrics of a server's own, and of the whole process."""

from __future__ import annotations

import pytest

from epipar_kit.errors import WorkerDiedError
from epipar_kit.events import ProgressEvent
from epipar_kit.gpu_memory import DeviceMemory, GpuMemory, read_devices
from epipar_kit.metrics import ServerMetrics
from epipar_kit.work_watch import watching


def _value(name: str, **labels: str) -> float:
    return ServerMetrics().registry.get_sample_value(name, labels) or 0.0


def test_work_is_counted_by_its_outcome() -> None:
    for outcome in ("done", "WorkerDiedError"):
        before = _value("epipar_work_seconds_count", work="counted", outcome=outcome)
        if outcome == "done":
            with watching("epipar_counted.job"):
                pass
        else:
            with pytest.raises(WorkerDiedError), watching("epipar_counted.job"):
                raise WorkerDiedError("died")
        after = _value("epipar_work_seconds_count", work="counted", outcome=outcome)
        assert after - before == 1


def test_each_stage_is_counted_once_however_often_it_tells() -> None:
    stages = ("loading", "matching", "fusing")
    labels = [{"service": "staged", "stage": stage} for stage in stages]
    before = [_value("epipar_stage_seconds_count", **label) for label in labels]
    with watching("epipar_staged.masks.job") as watch:
        for stage in stages:
            for done in range(3):
                watch.progress(ProgressEvent(stage, done, 2, "frames"))
    after = [_value("epipar_stage_seconds_count", **label) for label in labels]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 1, 1]


def test_two_servers_do_not_share_their_counters() -> None:
    one, two = ServerMetrics(), ServerMetrics()
    one.rpc_started.labels("/a/B").inc()
    assert two.registry.get_sample_value("epipar_rpc_started_total", {"method": "/a/B"}) is None


def test_a_machine_without_a_gpu_shows_no_series_of_it() -> None:
    if read_devices():
        pytest.skip("this machine has a GPU; test_a_gpus_memory_is_shown looks at it")
    assert list(GpuMemory().collect()) == []


@pytest.mark.gpu
def test_a_gpus_memory_is_shown() -> None:
    found = read_devices()
    if not found:
        pytest.skip("needs an NVIDIA GPU, its driver and nvidia-ml-py")
    assert all(0 < memory.used_bytes < memory.total_bytes for memory in found)
    (family,) = GpuMemory().collect()
    assert {(s.labels["device"], s.labels["state"]) for s in family.samples} == {
        (memory.device, state) for memory in found for state in ("used", "total")
    }


def test_gpus_are_told_apart() -> None:
    read = lambda: [DeviceMemory("0", 1, 8), DeviceMemory("1", 2, 8)]  # noqa: E731
    (family,) = GpuMemory(read).collect()
    used = {s.labels["device"]: s.value for s in family.samples if s.labels["state"] == "used"}
    assert used == {"0": 1, "1": 2}
