"""The examples run as they stand, against services in this test."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Suite

REPOSITORY = Path(__file__).parents[3]
EXAMPLES = REPOSITORY / "examples"


def program(name: str) -> str:
    """Find a program beside this interpreter or on the path; skip the test without it."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


async def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run an example while this test's event loop serves it."""
    return await asyncio.to_thread(
        subprocess.run, command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "my clip.mp4"
    path.write_bytes(b"video")
    return path


@pytest.fixture
def bad_clip(clip: Path) -> Path:
    return clip.rename(clip.with_name("split.mp4"))


async def test_the_python_example_prints_the_events_and_the_page(suite: Suite, clip: Path) -> None:
    example = EXAMPLES / "python" / "reconstruct.py"
    done = await run(sys.executable, example, clip, f"http://{suite.address}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [int(line.split()[0]) for line in lines[:-1]] == list(range(1, 12))
    assert "StepProgress(step='depth', progress=Progress(stage='sweeping', done=1" in done.stdout
    assert lines[-1] == f"http://{suite.address}/#/scenes/my-clip"


@pytest.fixture(scope="module")
def node_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node example, installed in a folder of its own; the contract is beside it."""
    npm = program("npm")
    root = tmp_path_factory.mktemp("node")
    shutil.copytree(
        EXAMPLES / "node", root / "examples" / "node", ignore=shutil.ignore_patterns("node_modules")
    )
    (root / "protos").symlink_to(REPOSITORY / "protos")
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=root / "examples" / "node",
        env={**os.environ, "PATH": f"{Path(npm).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"npm cannot install: {done.stderr.strip()[-300:]}")
    return root / "examples" / "node"


async def test_the_node_example_shows_progress_and_prints_the_job(
    suite: Suite, node_example: Path, clip: Path
) -> None:
    suite.gateway.spoil_watches = ["cut UNAVAILABLE", "repeat"]
    arguments = ("reconstruct.mjs", clip, suite.address)
    done = await run(program("node"), *arguments, cwd=node_example)
    assert done.returncode == 0, done.stderr
    assert "export: sweeping 3/3 frames\n" in done.stderr
    job = json.loads(done.stdout)
    assert (job["scene"], job["state"], job["last_sequence"]) == (
        "scenes/my-clip",
        "STATE_SUCCEEDED",
        11,
    )
    assert f"look at it: http://{suite.address}/#/scenes/my-clip" in done.stderr


async def test_the_node_example_tells_why_a_job_failed(
    suite: Suite, node_example: Path, bad_clip: Path
) -> None:
    arguments = ("reconstruct.mjs", bad_clip, suite.address)
    done = await run(program("node"), *arguments, cwd=node_example)
    assert done.returncode == 1
    assert "STATE_FAILED SPLIT_MODEL: 31 of 60 frames registered" in done.stderr


async def test_the_node_example_tells_a_refusal_in_the_suites_words(
    suite: Suite, node_example: Path, clip: Path
) -> None:
    suite.http.refuse = (415, "UNREADABLE_VIDEO")
    done = await run(program("node"), "reconstruct.mjs", clip, suite.address, cwd=node_example)
    assert (done.returncode, done.stdout) == (1, "")
    assert "UNREADABLE_VIDEO: refused" in done.stderr


async def test_the_grpcurl_example_prints_the_events(suite: Suite, clip: Path) -> None:
    program("grpcurl")
    done = await run(EXAMPLES / "grpcurl" / "reconstruct.sh", clip, suite.address)
    assert done.returncode == 0, done.stderr
    assert '"stage": "sweeping"' in done.stdout
    assert '"state": "STATE_SUCCEEDED"' in done.stdout
