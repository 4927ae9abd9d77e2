"""On a GPU: the published architectures SMALL and BASE with random weights, through the host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epipar_depth.chunks import OutOfMemory
from epipar_depth.da3.client import HostClient
from epipar_depth.da3.hosts import HostPool
from epipar_depth.da3.registry import load_registry
from epipar_depth.da3.settings import Da3Settings

pytestmark = pytest.mark.gpu

MODELS = ("da3-small", "da3-base")


@pytest.fixture(scope="module")
def on_gpu(tmp_path_factory: pytest.TempPathFactory) -> Da3Settings:
    """Random weights of both models, on the first card."""
    if find_spec("torch") is None or not any(Path("/dev").glob("nvidia[0-9]*")):
        pytest.skip("needs torch and an NVIDIA card")
    settings = Da3Settings(models_dir=tmp_path_factory.mktemp("models"), devices="cuda:0")
    for model in MODELS:
        subprocess.run(
            [sys.executable, "-m", "epipar_depth.da3.random_weights", model],
            env={**os.environ, **settings.to_environment()},
            check=True,
        )
    return settings


@pytest.fixture(scope="module")
def client(on_gpu: Da3Settings) -> Iterator[HostClient]:
    with HostPool(on_gpu) as hosts, HostClient(hosts.address()) as connected:
        yield connected


def _images(count: int) -> dict[str, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    return {"images": random.integers(0, 255, (count, 378, 504, 3), dtype=np.uint8)}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", ""])
def test_a_pass_gives_finite_depth_and_the_same_again(
    client: HostClient, model: str, dtype: str
) -> None:
    first, _ = client.predict(model, _images(4), dtype=dtype, seed=0)
    again, _ = client.predict(model, _images(4), dtype=dtype, seed=0)
    assert np.isfinite(first["depth"]).all()
    np.testing.assert_array_equal(first["depth"], again["depth"])


@pytest.mark.parametrize("model", MODELS)
def test_the_memory_figures_bound_what_a_pass_takes(on_gpu: Da3Settings, model: str) -> None:
    """Admission holds only if the registry does not promise too little; and where it ends, halve."""
    job = {"model": model, "device": "cuda:0", "dtypes": ["bf16"], "side": 504, "halve": True}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.da3.one_model", json.dumps({**job, "frames": [2, 16]})],
        env={**os.environ, **on_gpu.to_environment()},
        cwd=Path(__file__).parents[4],
        stdout=subprocess.PIPE,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["loaded_mib"] <= found["registry_base_mib"]
    assert found["image_mib"]["bf16"] <= found["registry_image_mib"]
    assert [row["images"] for row in found["rows"]] == [2, 16]
    # With room for about five, sixteen fail in the card's own allocator, and a half of them go.
    halving = found["halving"]
    assert halving["failures"] >= 1
    assert halving["went"] in {8, 4, 2}


def test_what_fits_fits(on_gpu: Da3Settings) -> None:
    spec = load_registry()["da3-small"]
    bounded = replace(on_gpu, memory_mib=spec.base_mib + spec.chunk_mib(20, 378, 504))
    with HostPool(bounded) as hosts, HostClient(hosts.address()) as client:
        fits = client.fits("da3-small", 378, 504)
        assert 19 <= fits <= 20
        client.predict("da3-small", _images(fits), dtype="", seed=0)
        with pytest.raises(OutOfMemory):
            client.predict("da3-small", _images(fits + 1), dtype="", seed=0)


def test_two_jobs_at_once_are_both_answered(on_gpu: Da3Settings) -> None:
    done: list[float] = []
    with HostPool(on_gpu) as hosts:
        address = hosts.address()

        def work() -> None:
            with HostClient(address) as client:
                for _ in range(3):
                    client.predict("da3-small", _images(8), dtype="", seed=0)
            done.append(time.monotonic())

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
    assert len(done) == 2
