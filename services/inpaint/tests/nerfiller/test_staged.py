"""The program of a run's pod, and the service's side of the same files, on a folder and on S3."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from epipar_inpaint.nerfiller.kubernetes_jobs.run_files import RunFiles
from epipar_inpaint.nerfiller.kubernetes_jobs.telling import Teller
from epipar_inpaint.nerfiller.runner import WorkerRun
from epipar_kit.errors import EngineUnavailableError
from tests.s3_server import S3Server

pytest.importorskip("obstore", reason="needs epipar-inpaint[kubernetes]")

HERE = Path(__file__).resolve().parent
STAGED = HERE.parents[1] / "worker/src/epipar_nerfiller/staged.py"


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def store(request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "folder":
        (tmp_path / "store").mkdir()
        monkeypatch.setenv("EPIPAR_STORE_URL", str(tmp_path / "store"))
        yield
        return
    with S3Server() as server:
        monkeypatch.setenv("EPIPAR_STORE_URL", f"{server.url}/suite")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield


def make_run(tmp_path: Path, prompt: str) -> WorkerRun:
    for name in ("scene/images", "scene/exports", "masks", "prior", "out"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "out" / "file").unlink()
    job = {"schema_version": 1, "content_hash": "ab" * 32, "settings": {"prompt": prompt}}
    out = tmp_path / "out"
    return WorkerRun(
        tmp_path / "scene", tmp_path / "masks", out, out / "w", tmp_path / "prior", job
    )


def pod(tmp_path: Path, files: RunFiles) -> int:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE / "fake_worker.py"}" "$@"\n')
    python.chmod(0o755)
    command = [sys.executable, str(STAGED), "--python", str(python), files.prefix]
    return subprocess.run(command, env=dict(os.environ), check=False, timeout=120).returncode


def test_what_goes_in_comes_out_and_says_so_last(store, tmp_path):
    run = make_run(tmp_path, "")
    files = RunFiles(run.digest, 10.0)
    files.put_inputs(run)
    assert pod(tmp_path, files) == 0
    lines: list[bytes] = []
    teller = Teller(files, run.output, lines.append, "")
    assert teller.look()
    assert not teller.look()
    assert teller.end is not None
    assert teller.end["event"] == "result"
    assert json.loads(lines[0])["event"] == "loading"
    files.fetch_all(run.output)
    assert (run.output / "scene.json").read_text() == "{}"
    assert (run.output / "previews" / "update_00001.jpg").read_bytes() == b"picture"


def test_only_the_last_pods_word_counts(store, tmp_path):
    run = make_run(tmp_path, "fail:INTERNAL:1:")
    files = RunFiles(run.digest, 10.0)
    files.put_inputs(run)
    assert pod(tmp_path, files) == 1
    assert pod(tmp_path, files) == 1
    teller = Teller(files, run.output, lambda _: None, "")
    teller.look()
    assert teller.end is not None
    assert teller.end["kind"] == "INTERNAL"
    assert files.last_event().rpartition("/")[2].startswith("0002-")


def test_a_store_that_is_not_named_is_told(monkeypatch):
    monkeypatch.setenv("EPIPAR_STORE_URL", "")
    with pytest.raises(EngineUnavailableError, match="EPIPAR_STORE_URL is ''"):
        RunFiles("ab" * 32, 1.0)
