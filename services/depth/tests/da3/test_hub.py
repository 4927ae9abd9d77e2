"""`epipar models pull` against a hub on loopback: fetched, gone on with, compared, refused in words."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epipar_depth.da3.client import HostClient
from epipar_depth.da3.hosts import HostPool
from epipar_depth.da3.settings import Da3Settings
from services.depth.tests.da3 import tiny
from services.depth.tests.da3.fake_hub import COMMIT, FakeHub, serving_hub

pytestmark = pytest.mark.skipif(
    find_spec("huggingface_hub") is None,
    reason="huggingface_hub not installed here: `make test-da3` runs this",
)

REPO = "epipar-tests/pulled"
CONFIG = json.dumps({"model_name": "pulled"}).encode()
WEIGHTS = "model.safetensors"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    files = {"config.json": CONFIG, WEIGHTS: np.random.default_rng(0).bytes(20_000)}
    with serving_hub(FakeHub(REPO, files)) as served:
        yield served


class _Machine:
    """A machine with one model that is to be pulled, and nothing on it."""

    def __init__(self, folder: Path, endpoint: str, **entry: Any) -> None:
        self.models_dir = folder / "models"
        self.folder = self.models_dir / "pulled"
        listing = folder / "models.json"
        values = {"name": "pulled", "repo": REPO, "architecture": str(folder / "pulled.yaml")}
        values |= {"licence": "MIT", "summary": "", **entry}
        listing.write_text(json.dumps([values]))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            "EPIPAR_DEPTH_DA3_MODELS_DIR": str(self.models_dir),
            "EPIPAR_DEPTH_DA3_MODELS_FILE": str(listing),
            "EPIPAR_DEPTH_DA3_PYTHON": sys.executable,
        }

    def pull(self, **variables: str) -> dict[str, Any]:
        """Pull in a process of its own and return what it says; of a failure, the error."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "epipar_depth.da3.models", "pull", "pulled"],
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            timeout=300,
            check=False,
        )
        said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert done.returncode == ("error" in said)
        error: dict[str, Any] = said.get("error", said)
        return error

    @property
    def parts(self) -> list[Path]:
        """What has come of files that are not whole."""
        return sorted(self.folder.glob(".*.part"))


def test_a_model_is_pulled_pinned_and_runs(staged: dict[str, str], tmp_path: Path) -> None:
    """A tiny model of the real package: from the hub's files to depth."""
    made = Path(staged["EPIPAR_DEPTH_DA3_MODELS_DIR"], "tiny", WEIGHTS).read_bytes()
    (tmp_path / "pulled.yaml").write_text(tiny.MODELS["tiny"][0])
    with serving_hub(FakeHub(REPO, {"config.json": CONFIG, WEIGHTS: made})) as hub:
        machine = _Machine(tmp_path, hub.endpoint, base_mib=10, image_mib=10)
        said = machine.pull(HF_TOKEN="hf_secret")  # noqa: S106 - none
        assert (said["state"], said["revision"]) == ("ready", COMMIT)
        assert Path(said["folder"]) == machine.folder
        tokens = {one.token for one in hub.asked if one.name in hub.files}
        assert tokens == {"Bearer hf_secret"}
        count = len(hub.asked)
        assert machine.pull() == said
        assert len(hub.asked) == count, "what is here is not asked for"
    settings = Da3Settings(
        python=sys.executable,
        devices="cpu",
        models_dir=machine.models_dir,
        models_file=tmp_path / "models.json",
    )
    with (
        pytest.MonkeyPatch.context() as patch,
        HostPool(settings) as hosts,
    ):
        patch.setenv("PYTHONPATH", staged["PYTHONPATH"])
        with HostClient(hosts.address()) as client:
            images = {"images": np.zeros((2, 70, 98, 3), np.uint8)}
            assert len(client.predict("pulled", images, dtype="", seed=0)[0]["depth"]) == 2


def test_a_pull_that_was_broken_off_goes_on_where_it_was(tmp_path: Path) -> None:
    """The hub's client hands on what it has every 10 MiB, so the file is larger than that."""
    weights = np.random.default_rng(1).bytes(24 * 2**20)
    with serving_hub(FakeHub(REPO, {"config.json": CONFIG, WEIGHTS: weights})) as hub:
        machine = _Machine(tmp_path, hub.endpoint)
        hub.cut_after = 15 * 2**20
        error = machine.pull()
        assert error["reason"] == "ENGINE_UNAVAILABLE"
        assert "503" in error["message"]
        assert not (machine.folder / WEIGHTS).exists()
        (part,) = machine.parts
        here = part.stat().st_size
        assert 0 < here < len(weights)
        hub.cut_after, hub.is_down = 0, False
        hub.asked.clear()
        assert machine.pull()["state"] == "ready"
        assert hub.fetched(WEIGHTS) == [here]
    assert (machine.folder / WEIGHTS).read_bytes() == weights
    assert machine.parts == []


def test_a_part_of_other_bytes_is_thrown_away(hub: FakeHub, tmp_path: Path) -> None:
    machine = _Machine(tmp_path, hub.endpoint)
    machine.folder.mkdir(parents=True)
    stale = machine.folder / f".{WEIGHTS}.0123456789abcdef.part"
    stale.write_bytes(b"of a revision that is gone")
    assert machine.pull()["state"] == "ready"
    assert machine.parts == []
    assert (machine.folder / WEIGHTS).read_bytes() == hub.files[WEIGHTS]


def test_bytes_that_are_not_what_was_announced_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    machine = _Machine(tmp_path, hub.endpoint)
    hub.lies = True
    error = machine.pull()
    assert error["reason"] == "CORRUPT_ARTIFACT"
    assert "announced" in error["message"]
    assert not (machine.folder / WEIGHTS).exists()
    assert machine.parts == []
    hub.lies = False
    assert machine.pull()["state"] == "ready"


def test_a_wrong_sha256_is_refused_before_anything_is_fetched(hub: FakeHub, tmp_path: Path) -> None:
    machine = _Machine(tmp_path, hub.endpoint, sha256="0" * 64)
    error = machine.pull()
    assert error["reason"] == "CORRUPT_ARTIFACT"
    assert "pinned to 0000000000000000" in error["message"]
    assert hub.fetched(WEIGHTS) == []


def test_a_hub_that_changed_its_weights_is_not_believed(hub: FakeHub, tmp_path: Path) -> None:
    machine = _Machine(tmp_path, hub.endpoint)
    assert machine.pull()["state"] == "ready"
    (machine.folder / WEIGHTS).unlink()
    hub.files[WEIGHTS] = hub.files[WEIGHTS][::-1]
    error = machine.pull()
    assert error["reason"] == "CORRUPT_ARTIFACT"
    assert "models.lock.json" in error["message"]


def test_weights_of_another_model_are_refused_before_they_are_fetched(
    hub: FakeHub, tmp_path: Path
) -> None:
    machine = _Machine(tmp_path, hub.endpoint)
    hub.files["config.json"] = json.dumps({"model_name": "another"}).encode()
    assert machine.pull()["reason"] == "CORRUPT_ARTIFACT"
    assert hub.fetched(WEIGHTS) == []


def test_offline_nothing_is_asked(hub: FakeHub, tmp_path: Path) -> None:
    machine = _Machine(tmp_path, hub.endpoint)
    error = machine.pull(EPIPAR_DEPTH_DA3_OFFLINE="true")
    assert error["reason"] == "WEIGHTS_MISSING"
    assert str(machine.folder) in error["message"]
    error = machine.pull(HF_HUB_OFFLINE="1")
    assert error["reason"] == "ENGINE_UNAVAILABLE"
    assert "HF_HUB_OFFLINE" in error["message"]
    assert hub.asked == []


def test_without_a_network_the_ways_out_are_named(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        machine = _Machine(tmp_path, endpoint)
        error = machine.pull()
    assert error["reason"] == "ENGINE_UNAVAILABLE"
    for named in (endpoint, "HF_ENDPOINT", "HTTPS_PROXY", str(machine.folder), "hub's cache"):
        assert named in error["message"]


@pytest.mark.parametrize(
    ("fault", "reason", "named"),
    [
        ("another repository", "NOT_FOUND", "HF_TOKEN"),
        ("another revision", "NOT_FOUND", "f00d"),
        ("no weights", "NOT_FOUND", WEIGHTS),
        ("gated", "FORBIDDEN", "HF_TOKEN"),
    ],
)
def test_what_the_hub_does_not_give_is_told(
    hub: FakeHub, tmp_path: Path, fault: str, reason: str, named: str
) -> None:
    entry = {"another repository": {"repo": "a/b"}, "another revision": {"revision": "f00d"}}
    machine = _Machine(tmp_path, hub.endpoint, **entry.get(fault, {}))
    hub.is_gated = fault == "gated"
    if fault == "no weights":
        del hub.files[WEIGHTS]
    error = machine.pull()
    assert error["reason"] == reason
    assert named in error["message"]


def test_an_interpreter_without_the_hubs_client_hands_on_to_the_model_hosts(
    hub: FakeHub, tmp_path: Path
) -> None:
    """`epipar models pull` runs beside the suite; the client may be beside torch alone."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u, os, sys\n"
        "if os.environ.pop('HIDE_HUB', ''):\n"
        "    found = u.find_spec\n"
        "    u.find_spec = lambda name, *a: None if name == 'huggingface_hub' else found(name, *a)\n"
    )
    machine = _Machine(tmp_path, hub.endpoint)
    path = os.pathsep.join(filter(None, [str(hidden), os.environ.get("PYTHONPATH")]))
    error = machine.pull(PYTHONPATH=path, HIDE_HUB="1")
    assert error["reason"] == "ENGINE_UNAVAILABLE", "the only interpreter has it not"
    assert "epipar-depth[hub]" in error["message"]
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o755)
    said = machine.pull(PYTHONPATH=path, HIDE_HUB="1", EPIPAR_DEPTH_DA3_PYTHON=str(wrapper))
    assert said["state"] == "ready"
