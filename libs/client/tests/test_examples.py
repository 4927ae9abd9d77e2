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


async def test_the_python_example_prints_progress_and_the_scene(suite: Suite) -> None:
    example = EXAMPLES / "python" / "reconstruct.py"
    done = await run(sys.executable, example, "clip.mp4", "scenes/a", suite.address)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Progress(stage='reading', done=1, total=4")
    assert done.stdout.splitlines()[-1].startswith("SceneResult(scene_uri='scenes/a'")


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


async def test_the_node_example_shows_progress_and_prints_the_scene(
    suite: Suite, node_example: Path
) -> None:
    arguments = ("reconstruct.mjs", "clip.mp4", "scenes/a", suite.address)
    done = await run(program("node"), *arguments, cwd=node_example)
    assert done.returncode == 0, done.stderr
    assert "sweeping 3/3 frames\n" in done.stderr
    result = json.loads(done.stdout)
    assert (result["scene_uri"], result["scale"]) == ("scenes/a", "SCALE_ARBITRARY")


async def test_the_node_example_tells_a_failure_with_its_details(
    suite: Suite, node_example: Path
) -> None:
    arguments = ("reconstruct.mjs", "split", "scenes/a", suite.address)
    done = await run(program("node"), *arguments, cwd=node_example)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "SPLIT_MODEL: 31 of 60 frames registered" in done.stderr
    assert "  input_uri: 31 of 60" in done.stderr
    assert "  registered = 31" in done.stderr


async def test_the_grpcurl_example_prints_the_stream(suite: Suite) -> None:
    program("grpcurl")
    script = EXAMPLES / "grpcurl" / "reconstruct.sh"
    done = await run(script, "clip.mp4", "scenes/a", suite.address)
    assert done.returncode == 0, done.stderr
    assert '"stage": "sweeping"' in done.stdout
    assert '"sceneUri": "scenes/a"' in done.stdout
    failed = await run(script, "split", "scenes/a", suite.address)
    assert failed.returncode != 0
    assert "SPLIT_MODEL" in failed.stderr
