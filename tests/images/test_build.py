"""A real image is built, started with a read-only root, asked how it is, and ended."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.images.locked import run_locked
from tools.images.builder import Builder
from tools.images.catalogue import IMAGES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_START = """
epipar-export & service=$!
for attempt in $(seq 120); do
  python -m epipar_kit.health_check 127.0.0.1:50952 2>/dev/null && break
  kill -0 $service || break
  sleep 1
done
echo "uid $(id -u)"
python -m epipar_kit.health_check 127.0.0.1:50952 && echo well
touch /opt/epipar/file 2>/dev/null || echo read-only
kill -TERM $service
wait $service; echo "ended $?"
python -m epipar_kit.health_check 127.0.0.1:50952 2>/dev/null || echo gone
"""


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """Return buildah without a daemon or namespaces of its own, or skip."""
    if os.environ.get("EPIPAR_TEST_IMAGES") != "1":
        pytest.skip("builds an image, which takes minutes: make test-images")
    missing = [name for name in ("buildah", "mmdebstrap", "unshare") if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and Debian's {', '.join(missing) or 'buildah'}")
    folder = tmp_path_factory.mktemp("buildah")
    yield Builder(
        "buildah",
        ("--storage-driver=vfs", f"--root={folder}/store", f"--runroot={folder}/run"),
        (
            "--network=host",
            "--isolation=chroot",
            f"--volume={_CERTIFICATES}:{_CERTIFICATES}:ro",
        ),
        {"BUILDAH_ISOLATION": "chroot"},
    )
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def base(buildah: Builder, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a base image made of Debian's packages: nothing is pulled."""
    folder = tmp_path_factory.mktemp("base")
    packages = "--include=python3,python3-venv,ca-certificates"
    command = ["mmdebstrap", "--variant=minbase", packages, "bookworm", f"{folder}/base.tar"]
    subprocess.run(command, check=True, capture_output=True, timeout=900)
    (folder / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
    name = "localhost/epipar-base:test"
    buildah.call("build", "--isolation=chroot", "-t", name, str(folder), timeout_s=900)
    return name


def test_an_image_starts_locked_answers_and_drains(buildah: Builder, base: str, tmp_path: Path):
    pip_conf = tmp_path / "pip.conf"
    pip_conf.write_text(f"[global]\ncert = {_CERTIFICATES}\n")
    image = next(image for image in IMAGES if image.name == "epipar-export")
    buildah.build(image, "test", base=base, secrets={"pip_conf": pip_conf})
    assert buildah.size_bytes("localhost/epipar-export:test") < 1.2e9

    container = buildah.call("from", "localhost/epipar-export:test").strip()
    root = Path(buildah.call("mount", container).strip())
    variables = {
        "PATH": "/opt/epipar/bin:/usr/bin:/bin",
        "HOME": "/tmp",  # noqa: S108 - inside the image
        "EPIPAR_STORE_URL": "file:///data",
        "EPIPAR_EXPORT_PORT": "50952",
    }
    done = run_locked(root, variables, _START, timeout_s=300)
    said = done.stdout.splitlines()
    assert said[0].startswith('{"event": "ready", "service": "export"'), done.stderr
    assert said[1:] == ["uid 10001", "well", "read-only", "ended 0", "gone"], done.stderr

    table = (root / "opt/epipar/licences/licences.tsv").read_text()
    assert "grpcio\t" in table
    assert "epipar-export\t0.1.0\tApache-2.0" in table
    assert (root / "opt/epipar/licences/EPIPAR-LICENSE").is_file()
    assert not (root / "etc/pip.conf").exists()
