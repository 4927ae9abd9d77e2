"""Real images are built, started with a read-only root, asked how they are, and ended."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.images.locked import run_locked
from tools.images.builder import Builder
from tools.images.catalogue import IMAGES, Image

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]

_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_START = """
{entrypoint} >/tmp/said 2>&1 & service=$!
for attempt in $(seq 240); do
  {health} 2>/dev/null && break
  kill -0 $service || break
  sleep 1
done
echo "uid $(id -u)"
{health} && echo well
touch /opt/epipar/file 2>/dev/null || echo read-only
kill -TERM $service
wait $service; echo "ended $?"
{health} 2>/dev/null || echo gone
cat /tmp/said >&2
"""
_GIVEN = {
    "epipar-envoy": {},
    "epipar-gateway": {
        "EPIPAR_STORE_URL": "file:///data/store",
        "EPIPAR_GATEWAY_DATABASE_URL": "sqlite:////data/gateway.sqlite",
        "EPIPAR_GATEWAY_HTTP_PORT": "0",
    },
}
"""Variables without which a program does not start, where a store alone is not enough."""


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was built, and its root, mounted."""

    image: Image
    root: Path
    config: dict[str, Any]
    size_bytes: int

    @property
    def variables(self) -> dict[str, str]:
        """What the image itself sets."""
        return dict(pair.split("=", 1) for pair in self.config["Env"])


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    """Return buildah without a daemon or namespaces of its own, or skip."""
    if os.environ.get("EPIPAR_TEST_IMAGES", "") not in {"1", "gpu"}:
        pytest.skip("builds images, which takes minutes: make test-images")
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
        {"BUILDAH_ISOLATION": "chroot", "TMPDIR": str(folder)},
    )
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def base(buildah: Builder, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a base image made of Debian's packages: nothing is pulled."""
    folder = tmp_path_factory.mktemp("base")
    packages = "--include=python3,python3-venv,ca-certificates"
    command = ["mmdebstrap", "--variant=minbase", packages, "bookworm", f"{folder}/base.tar"]
    subprocess.run(command, check=True, capture_output=True, timeout=1800)
    (folder / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
    name = "localhost/epipar-base:test"
    buildah.call("build", "--isolation=chroot", "-t", name, str(folder), timeout_s=1800)
    return name


@pytest.fixture(params=IMAGES, ids=lambda image: image.name)
def built(
    buildah: Builder, base: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Built]:
    """Return one image, built and mounted; it is removed afterwards, for they are large."""
    image: Image = request.param
    if image.needs_gpu_packages and os.environ["EPIPAR_TEST_IMAGES"] != "gpu":
        pytest.skip("holds torch, gigabytes of it: EPIPAR_TEST_IMAGES=gpu")
    pip_conf, npmrc = tmp_path / "pip.conf", tmp_path / "npmrc"
    pip_conf.write_text(f"[global]\ncert = {_CERTIFICATES}\n")
    npmrc.write_text(f"cafile={_CERTIFICATES}\n")
    try:
        buildah.build(image, "test", base=base, secrets={"pip_conf": pip_conf, "npmrc": npmrc})
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{image.name}:\n{error.stdout[-3000:]}\n{error.stderr[-3000:]}")
    name = f"localhost/{image.name}:test"
    about = json.loads(buildah.call("inspect", "--type=image", name))
    container = buildah.call("from", name).strip()
    root = Path(buildah.call("mount", container).strip())
    yield Built(image, root, about["Docker"]["config"], buildah.size_bytes(name))
    buildah.call("rm", container)
    buildah.call("rmi", name)


def free_port() -> int:
    """Return a port of loopback that nobody listened on a moment ago."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def start_of(built: Built) -> tuple[str, dict[str, str]]:
    """Return the script that starts an image's program, and its variables.

    The program and the question for its health are the image's own, on another port than theirs:
    there is one network here.
    """
    port = free_port()
    service = built.image.name.removeprefix("epipar-").removesuffix("-gpu")
    port_of = "ADMIN_PORT" if service == "envoy" else "PORT"
    given = _GIVEN.get(built.image.name, {"EPIPAR_STORE_URL": "file:///data/store"})
    variables = {
        **built.variables,
        **given,
        f"EPIPAR_{service.upper()}_{port_of}": str(port),
    }
    if service == "envoy":
        variables["EPIPAR_ENVOY_PORT"] = "0"
    asked = built.config["Healthcheck"]["Test"]
    assert asked[0] == "CMD"
    own = "9901" if service == "envoy" else next(iter(built.config["ExposedPorts"]))[:5]
    assert own in asked[-1]
    health = [*asked[1:-1], asked[-1].replace(own, str(port))]
    script = _START.format(
        entrypoint=shlex.join(built.config["Entrypoint"]), health=shlex.join(health)
    )
    return script, variables


def test_an_image_starts_locked_answers_and_drains(built: Built, record_testsuite_property: Any):
    record_testsuite_property(built.image.name, built.size_bytes)
    assert built.config["User"] == "10001:10001"
    packages = "opt/worker" if built.image.name == "epipar-nerfiller" else "opt/epipar"
    table = (built.root / packages / "licences/licences.tsv").read_text()
    assert "\nepipar-" in f"\n{table}"
    assert "\t0.1.0\tApache-2.0" in table
    assert (built.root / packages / "licences/EPIPAR-LICENSE").is_file()
    assert not (built.root / "etc/pip.conf").exists()  # the secret is in no layer
    assert not list((built.root / packages).glob("lib/python3*/site-packages/pip"))

    if built.image.name == "epipar-nerfiller":  # a run and no server: it says how it is called
        script = f"{shlex.join(built.config['Entrypoint'])} --help && echo uid $(id -u)"
        done = run_locked(built.root, built.variables, script, timeout_s=600)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "uid 10001"), done.stderr
        return
    script, variables = start_of(built)
    done = run_locked(built.root, variables, script, timeout_s=900)
    assert done.stdout.splitlines() == ["uid 10001", "well", "read-only", "ended 0", "gone"], (
        done.stderr
    )
