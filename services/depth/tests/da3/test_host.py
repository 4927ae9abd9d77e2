"""The model host with real, tiny models: loading, sharing, breaking off, dying and coming back."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from epipar_depth.chunks import OutOfMemory
from epipar_depth.da3.client import HostClient
from epipar_depth.da3.companion import model_hosts
from epipar_depth.da3.hosts import HostPool
from epipar_depth.da3.settings import Da3Settings
from epipar_kit.errors import (
    CorruptArtifactError,
    InternalError,
    InvalidInputError,
    WorkerDiedError,
)

PATIENCE_S = 120.0


def _images(count: int, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(seed)
    return {"images": random.integers(0, 255, (count, 70, 98, 3), dtype=np.uint8)}


def _ask(client: HostClient, model: str = "tiny", count: int = 3, seed: int = 0) -> Any:
    return client.predict(model, _images(count, seed), dtype="", seed=0)[0]


def _until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come about"
        time.sleep(0.02)


def test_an_answer_is_in_the_models_conventions_and_the_same_again(pool: HostPool) -> None:
    with HostClient(pool.address()) as client:
        first, again = _ask(client), _ask(client)
    assert first["depth"].shape == (3, 70, 98)
    assert first["depth"].dtype == np.float32
    assert (first["depth"] > 0).all()
    assert 0 <= first["confidence"].min() <= first["confidence"].max() < 1
    assert first["world_to_camera"].shape == (3, 4, 4)
    assert first["intrinsics"].shape == (3, 3, 3)
    assert "sky" not in first  # any-view models tell none
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name])


def test_a_running_host_tells_the_metrics_page_how_many_wait(pool: HostPool) -> None:
    with HostClient(pool.address()) as client:
        asked = client.status()
        (told,) = pool.statuses()
    assert (told.device, told.waiting, told.busy) == (asked.device, 0, False)
    assert told.jobs >= 1  # the client; others may just be leaving


@pytest.mark.parametrize("count", [1, 2, 5])
def test_one_and_two_images_work_as_many_do(pool: HostPool, count: int) -> None:
    with HostClient(pool.address()) as client:
        assert len(_ask(client, count=count)["depth"]) == count


@pytest.mark.parametrize("model", ["tiny-metric", "tiny-mono"])
def test_a_model_without_confidence_gets_one_from_its_mirror(pool: HostPool, model: str) -> None:
    with HostClient(pool.address()) as client:
        answer = _ask(client, model)
    assert set(answer) == {"depth", "confidence", "sky"}
    assert 0 < answer["confidence"].mean() < 1
    assert answer["sky"].dtype == bool


def test_known_cameras_change_what_the_model_says(pool: HostPool) -> None:
    arrays: dict[str, Any] = _images(3)
    cameras = np.tile(np.eye(4), (3, 1, 1))
    cameras[:, 0, 3] = [0, -5, -10]
    arrays["intrinsics"] = np.tile(np.array([[90.0, 0, 49], [0, 90, 35], [0, 0, 1]]), (3, 1, 1))
    with HostClient(pool.address()) as client:
        free = _ask(client)
        arrays["world_to_camera"] = cameras
        posed = client.predict("tiny", arrays, dtype="", seed=0)[0]
        arrays["world_to_camera"] = cameras * [[1, 1, 1, 3], [1] * 4, [1] * 4, [1] * 4]
        scaled = client.predict("tiny", arrays, dtype="", seed=0)[0]
    assert not np.allclose(free["depth"], posed["depth"])
    np.testing.assert_allclose(posed["depth"], scaled["depth"], rtol=1e-4)  # their unit is free


def test_a_dtype_that_the_device_has_not_is_refused(pool: HostPool) -> None:
    with HostClient(pool.address()) as client:
        with pytest.raises(InvalidInputError, match="no fp16"):
            client.predict("tiny", _images(1), dtype="fp16", seed=0)
        answer, _ = client.predict("tiny", _images(1), dtype="bf16", seed=0)
        assert np.isfinite(answer["depth"]).all()


def test_two_jobs_share_the_device_in_turns(pool: HostPool) -> None:
    """Both hand in all their chunks at once; neither waits for the other's end."""
    address, order, lock = pool.address(), [], threading.Lock()
    begin = threading.Barrier(2)

    def work(name: str) -> None:
        with HostClient(address) as client:
            client.status()
            begin.wait()
            for _ in range(6):
                _ask(client)
                with lock:
                    order.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(order) == ["a"] * 6 + ["b"] * 6
    assert len({*order[:6]}) == 2  # not one after the other


def test_a_device_that_runs_out_of_memory_says_so_and_goes_on(pool: HostPool) -> None:
    with HostClient(pool.address()) as client:
        with pytest.raises(OutOfMemory):
            _ask(client, "tiny-greedy", count=5)
        assert len(_ask(client, "tiny-greedy", count=2)["depth"]) == 2


def test_a_setting_bounds_what_fits(staged: dict[str, str], settings: Da3Settings) -> None:
    bounded = replace(settings, memory_mib=50)  # 10 for the model
    with HostPool(bounded) as hosts, HostClient(hosts.address()) as client:
        assert client.fits("tiny", 378, 504) == 4
        big = {"images": np.zeros((5, 378, 504, 3), np.uint8)}
        with pytest.raises(OutOfMemory, match="4 images"):
            client.predict("tiny", big, dtype="", seed=0)


def test_a_job_that_leaves_frees_the_device_at_once(pool: HostPool) -> None:
    """The slow model would take hours; it is broken off between two layers."""
    address = pool.address()
    with HostClient(address) as watcher:
        leaving = HostClient(address, while_waiting=_Leave(watcher))
        with pytest.raises(_LeftError):
            _ask(leaving, "tiny-slow")
        leaving.close()
        _until(lambda: not watcher.status().busy)
        assert len(_ask(watcher)["depth"]) == 3


class _LeftError(Exception):
    """Somebody does not want to wait any more."""


class _Leave:
    """Leaves as soon as the device is busy."""

    def __init__(self, watcher: HostClient) -> None:
        self._watcher = watcher

    def __call__(self) -> None:
        if self._watcher.status().busy:
            raise _LeftError


def test_models_take_each_others_place(staged: dict[str, str], settings: Da3Settings) -> None:
    with HostPool(replace(settings, max_models=1)) as hosts:
        assert hosts.warm_address("tiny") is None
        hosts.warm("tiny")
        assert hosts.warm_address("tiny") == hosts.address()
        with HostClient(hosts.address()) as client:
            _ask(client, "tiny-b")
            assert client.status().models == ("tiny-b",)
        assert hosts.warm_address("tiny") is None


async def test_a_service_warms_its_model_and_takes_its_hosts_along(
    staged: dict[str, str], settings: Da3Settings
) -> None:
    pool = HostPool(settings)
    async with model_hosts(pool, "tiny"):
        await asyncio.to_thread(_until, lambda: pool.warm_address("tiny") is not None)
        (host,) = pool.pids()
    assert not psutil.pid_exists(host)
    async with model_hosts(HostPool(settings), "da3-giant"):
        """A model that is not here does not keep the service from serving."""


def test_a_killed_host_comes_back_and_its_job_does_not_notice(
    staged: dict[str, str], settings: Da3Settings
) -> None:
    with HostPool(settings) as hosts, HostClient(hosts.address()) as client:
        before = _ask(client)
        killed = hosts.pids()[0]
        os.kill(killed, signal.SIGKILL)
        np.testing.assert_array_equal(_ask(client)["depth"], before["depth"])
        assert hosts.pids() != [killed]
        last = hosts.pids()[0]
    _until(lambda: not psutil.pid_exists(last))


def test_a_device_that_fails_gets_a_new_host_and_one_without_memory_does_not(
    staged: dict[str, str], settings: Da3Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process whose CUDA context is broken can never use the card again."""
    fault = tmp_path / "fault"
    monkeypatch.setenv("EPIPAR_TEST_FAULT", str(fault))
    with HostPool(settings) as hosts, HostClient(hosts.address()) as client:
        before = hosts.pids()
        fault.write_text("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`")
        with pytest.raises(OutOfMemory):
            _ask(client, "tiny-faulty", count=4)
        assert hosts.pids() == before
        fault.write_text("CUDA error: an illegal memory access was encountered")
        assert len(_ask(client, "tiny-faulty")["depth"]) == 3
        assert hosts.pids() != before
        fault.write_text("a fault of the model's own code")
        last = hosts.pids()
        with pytest.raises(InternalError):
            _ask(client, "tiny-faulty")
        assert hosts.pids() == last


@pytest.mark.slow
def test_a_chunk_that_kills_its_host_again_and_again_is_given_up(
    staged: dict[str, str], settings: Da3Settings
) -> None:
    with HostPool(settings) as hosts, HostClient(hosts.address()) as client:
        with pytest.raises(WorkerDiedError, match="died 3 times"):
            _ask(client, "tiny-crashing")
        assert len(_ask(client)["depth"]) == 3


def test_a_host_dies_with_whoever_started_it(staged: dict[str, str]) -> None:
    program = (
        "from epipar_depth.da3.hosts import HostPool\n"
        "from epipar_depth.da3.settings import Da3Settings\n"
        "pool = HostPool(Da3Settings.from_environment(), own_session=True)\n"
        "pool.address(); print(pool.pids()[0], flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, **staged},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert parent.stdout is not None
    lines = iter(parent.stdout.readline, b"")
    host = int(next(line for line in lines if line.strip().isdigit()))
    assert psutil.pid_exists(host)
    parent.kill()
    parent.communicate()
    _until(lambda: not psutil.pid_exists(host) or psutil.Process(host).status() == "zombie")


_BUILD = """
import json, torch
from epipar_depth.da3.loading import build_model
from epipar_depth.da3.registry import load_registry

linspace = torch.linspace  # its numbers are looked at while a model is built
torch.linspace = lambda *given, **more: linspace(*given, **{**more, "device": "cpu"})
sizes = {}
with torch.device("meta"):  # shapes without memory
    for name, spec in load_registry().items():
        model = build_model(spec)
        assert not any("gs_" in key for key in model.state_dict())
        sizes[name] = [sum(p.numel() for p in model.parameters()) * 4 / 2**20, spec.base_mib]
print(json.dumps(sizes))
"""


@pytest.mark.slow
def test_every_published_model_can_be_built_in_the_memory_it_is_said_to_take(
    staged: dict[str, str],
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BUILD],
        capture_output=True,
        text=True,
        check=True,
        timeout=2 * PATIENCE_S,
    )
    sizes = json.loads(done.stdout.splitlines()[-1])
    assert len(sizes) == 7
    for name, (needed, told) in sizes.items():
        assert needed <= told, name


_SPOIL = """
import json, sys, torch
from pathlib import Path
from safetensors.torch import load_file, save_file
from epipar_depth.da3.loading import build_model, load_strictly
from epipar_depth.da3.registry import load_registry
from epipar_depth.da3.settings import Da3Settings
from epipar_kit.errors import CorruptArtifactError

settings = Da3Settings.from_environment()
spec = load_registry(settings.models_file)["tiny"]
whole = settings.models_dir / "tiny" / "model.safetensors"
tensors, folder = load_file(whole), Path(sys.argv[1])
name = "model.head.projects.0.weight"
cases = {
    "whole": None,
    "nothing in it": {},
    "no tensor of ours": {"x": torch.zeros(1)},
    "one is missing": {k: v for k, v in tensors.items() if k != name},
    "one too many": {**tensors, "model.extra": torch.zeros(1)},
    "another shape": {**tensors, name: torch.zeros(1, 2)},
    "cut": whole.read_bytes()[: 10_000],
    "empty": b"",
    "no safetensors": b"PK" * 100,
}
told = {}
for case, content in cases.items():
    path = folder / "model.safetensors"
    if content is None:
        path = whole
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        save_file(content, path)
    try:
        load_strictly(spec, build_model(spec), path)
        told[case] = ""
    except CorruptArtifactError as error:
        told[case] = error.reason + " " + error.message
print(json.dumps(told))
"""


def test_weights_that_are_not_the_models_are_refused(
    staged: dict[str, str], tmp_path: Path
) -> None:
    """Where the hash would hold, as somebody pinned them: the tensors themselves tell."""
    done = subprocess.run(
        [sys.executable, "-c", _SPOIL, tmp_path],
        env={**os.environ, **staged},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told.pop("whole") == ""
    assert len(told) == 8
    for case, message in told.items():
        assert message.startswith("CORRUPT_ARTIFACT"), case
        assert "does not hold 'tiny'" in message
    assert "1 tensors are missing" in told["one is missing"]
    assert "model.extra" in told["one too many"]


def test_weights_that_changed_after_the_pin_are_refused(
    staged: dict[str, str], settings: Da3Settings, tmp_path: Path
) -> None:
    own = replace(settings, models_dir=tmp_path / "models")
    shutil.copytree(settings.models_dir, own.models_dir)
    weights = own.models_dir / "tiny" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with HostPool(own) as hosts, HostClient(hosts.address()) as client:
        with pytest.raises(CorruptArtifactError, match="SHA-256"):
            _ask(client)
        assert len(_ask(client, "tiny-b")["depth"]) == 3
