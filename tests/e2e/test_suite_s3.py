"""A whole suite whose store is a bucket and whose database is PostgreSQL: the same commands.

Where there is no PostgreSQL server, the database is SQLite, and the store is a bucket all the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from epipar_scene.folder import SceneFolder
from gateway.tests.postgres import PostgresServer, binaries
from tests.processes import Suite
from tests.s3_server import S3Server

pytestmark = pytest.mark.slow

FRAMES = 6


@pytest.fixture(scope="module")
def suite(s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite that keeps nothing of a scene in its own folder."""
    folder = tmp_path_factory.mktemp("suite")
    environment = {"EPIPAR_SCRATCH_DIR": str(folder / "scratch"), **s3_server.environment}
    with ExitStack() as parts:
        if binaries() is not None:
            postgres = parts.enter_context(PostgresServer())
            environment["EPIPAR_GATEWAY_DATABASE_URL"] = postgres.new_database()
        yield parts.enter_context(
            Suite(folder / "data", store_url=f"{s3_server.url}/suite", **environment)
        )


def epipar(*arguments: str) -> str:
    """Run the command to its good end; return what it printed."""
    command = [sys.executable, "-m", "epipar_cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr
    return done.stdout


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - loopback
        return bytes(answer.read())


def test_a_clip_is_reconstructed_exported_and_viewed(
    suite: Suite, sample_clip: Path, tmp_path: Path
) -> None:
    epipar(
        *("reconstruct", str(sample_clip), "-o", "nook", "--address", suite.address),
        *("--max-frames", str(FRAMES), "--max-side", "256", "--download", str(tmp_path)),
    )
    assert len(SceneFolder.open(tmp_path / "nook").frames) == FRAMES
    assert not (suite.folder / "store").exists()
    name = "scenes/nook"
    root = f"{suite.address}/files/{name}/exports/default"
    tileset = json.loads(fetched(f"{root}/tileset.json"))
    assert tileset["asset"]["version"] == "1.1"
    assert fetched(f"{root}/scene_preview.glb")[:4] == b"glTF"
    assert fetched(f"{suite.address}/files/thumbnails/nook.jpg")[:2] == b"\xff\xd8"
    assert "/#/scenes/" in epipar("view", "nook", "--address", suite.address)
