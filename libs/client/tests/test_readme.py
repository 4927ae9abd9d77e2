"""What the README shows works, and what it lists is there."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from epipar_cli import exit_codes
from epipar_cli.__main__ import COMMANDS
from epipar_client import (
    AccessError,
    AlreadyExistsError,
    CorruptArtifactError,
    DeadlineExceededError,
    EpiparError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotReadyError,
    ServiceError,
    UnavailableError,
)

from .conftest import Epipar, Suite

ROOM = Path(__file__).parents[1]
README = (ROOM / "README.md").read_text()


async def test_the_first_example_runs_as_it_stands(suite: Suite, tmp_path: Path) -> None:
    example = README.partition("```python\n")[2].partition("```")[0]
    for address in ("127.0.0.1:50051", "127.0.0.1:50052"):
        assert address in example
        example = example.replace(address, suite.address)
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", example], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "SceneResult(scene_uri='scenes/kitchen'" in done.stdout
    assert "ExportResult(" in done.stdout


def test_the_table_has_every_exit_code_and_every_command() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert told == {value for value in vars(exit_codes).values() if isinstance(value, int)}
    assert set(re.findall(r"^\| `epipar (\w+)", README, re.MULTILINE)) == set(COMMANDS)


def test_every_source_file_has_its_line() -> None:
    listed = README.partition("## Files")[2]
    for source in sorted((ROOM / "src").rglob("*.py")):
        if source.name != "__init__.py":
            assert re.search(rf"\b{source.name}\s", listed), source


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (InvalidInputError, 3),
        (NotFoundError, 4),
        (AlreadyExistsError, 5),
        (NotReadyError, 5),
        (LimitExceededError, 6),
        (UnavailableError, 7),
        (DeadlineExceededError, 7),
        (AccessError, 1),
        (CorruptArtifactError, 1),
        (ServiceError, 1),
        (exit_codes.UsageError, 2),
    ],
)
def test_every_class_of_error_has_its_exit_code(kind: type[EpiparError], code: int) -> None:
    assert exit_codes.exit_code_of(kind("x")) == code


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_teaches(epipar: Epipar, command: str) -> None:
    done = epipar.run(*filter(None, [command]), "--help")
    assert done.returncode == 0
    assert "usage: epipar" in done.stdout
    assert len(done.stdout.splitlines()) > 6


def test_the_version_is_printed(epipar: Epipar) -> None:
    assert re.fullmatch(r"epipar \S+\n", epipar.run("--version").stdout)


def test_the_client_imports_neither_services_nor_their_kit() -> None:
    for source in (ROOM / "src").rglob("*.py"):
        imports = re.findall(r"^\s*(?:from|import) (\w+)", source.read_text(), re.MULTILINE)
        assert not {"epipar_kit", "epipar_depth", "epipar_export"} & set(imports), source
