"""What the images with torch install can be installed: pip resolves it, without fetching gigabytes.

Each stage's `pip install` commands are read from its Dockerfile and resolved together, with the
constraints that the stage has. Building these images is not done here: they are gigabytes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.images.catalogue import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STAGES = {
    "depth-gpu": ("services/depth/Dockerfile", "packages-gpu", "constraints.txt"),
    "nerfiller": (
        "services/inpaint/worker/Dockerfile",
        "build",
        "services/inpaint/worker/constraints.txt",
    ),
}
"""By name: Dockerfile, stage, and the file of the repository that is its constraints.txt."""


def installs(dockerfile: str, stage: str) -> list[list[str]]:
    """Return the arguments of each pip install of a stage, in order."""
    text = (ROOT / dockerfile).read_text().replace("\\\n", " ")
    body = re.split(r"(?m)^FROM \S+ AS ", text)
    (found,) = [part for part in body if part.split("\n", 1)[0].strip() == stage]
    commands = re.findall(r"bin/pip install --quiet ([^\n]*?)(?= && |\n)", found)
    return [shlex.split(command) for command in commands]


def resolved(arguments: list[str], constraints: str, report: Path) -> dict[str, str]:
    """Resolve in a dry run; return versions by name."""
    given = [constraints if word == "constraints.txt" else word for word in arguments]
    command = [
        *(sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"),
        *("--report", str(report), *given),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    planned: list[dict[str, Any]] = json.loads(report.read_text())["install"]
    return {item["metadata"]["name"].lower(): item["metadata"]["version"] for item in planned}


@pytest.mark.parametrize("name", STAGES)
def test_what_an_image_with_torch_installs_fits_together(name: str, tmp_path: Path):
    if os.environ.get("EPIPAR_TEST_IMAGES") != "1":
        pytest.skip("asks a package index for minutes: make test-images")
    dockerfile, stage, constraints = STAGES[name]
    commands = installs(dockerfile, stage)
    assert any("torch==2.13.0" in command for command in commands)
    alone = [command for command in commands if "--no-deps" in command]
    together = [word for command in commands if command not in alone for word in command]
    found = resolved(together, constraints, tmp_path / "together.json")
    assert found["torch"].startswith("2.13.0")  # "+cpu" where the index has no other
    assert found["epipar-scene"] == "0.1.0"
    for command in alone:
        assert resolved(command, constraints, tmp_path / "alone.json")


@pytest.mark.parametrize("name", STAGES)
def test_every_install_of_a_stage_is_read(name: str):
    dockerfile, stage, constraints = STAGES[name]
    commands = installs(dockerfile, stage)
    assert len(commands) == 3
    assert (ROOT / constraints).is_file()
    files = [command[i + 1] for command in commands for i, w in enumerate(command) if w == "-r"]
    assert all((ROOT / file).is_file() for file in files)
