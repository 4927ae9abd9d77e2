"""What the README shows works, and what it lists is there."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import textwrap
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
    assert "http://127.0.0.1:8080" in example
    example = example.replace("127.0.0.1:8080", suite.address)
    (tmp_path / "clip.mp4").write_bytes(b"video")
    done = await run_python(example, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "11 Job(name='jobs/" in done.stdout
    assert (tmp_path / "tileset.json").stat().st_size > 0


async def test_the_second_example_runs_as_it_stands(suite: Suite, tmp_path: Path) -> None:
    example = README.split("```python\n")[2].partition("```")[0]
    for address in ("127.0.0.1:50051", "127.0.0.1:50052"):
        assert address in example
        example = example.replace(address, suite.address)
    head = "import asyncio\nfrom epipar_client import EpiparClient\n\nasync def main():\n"
    done = await run_python(
        head + textwrap.indent(example, "    ") + "\n\nasyncio.run(main())", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "SceneResult(scene_uri='scenes/kitchen'" in done.stdout
    assert "ExportResult(" in done.stdout


async def run_python(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program while this test's event loop serves it."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


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
        assert not {
            *("epipar_kit", "epipar_depth", "epipar_export", "epipar_inpaint"),
            *("epipar_gateway", "epipar_envoy"),
        } & set(imports), source
