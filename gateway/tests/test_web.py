"""The application around uploads and files: the viewer's page, headers, hosts, programs."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from epipar_gateway.http_errors import errors_as_json, status_of
from epipar_gateway.http_server import HttpServer
from epipar_kit import errors
from epipar_kit.settings import SettingsError

from .sites import Site, site


@pytest.fixture
def built(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>viewer</title>")
    (folder / "assets/index-abc.js").write_text("export {}")
    (folder / "assets/index-abc.js.br").write_bytes(b"br")
    (folder / "assets/meshopt-1.wasm").write_bytes(b"\0asm")
    (folder / ".secret").write_text("secret")
    return folder


async def test_the_viewer_is_served_with_its_headers(tmp_path: Path, built: Path) -> None:
    async with site(tmp_path / "store", web_dir=built) as at:
        page = await at.ask("GET", "/")
        script = await at.ask("GET", "/assets/index-abc.js")
        packed = await at.ask("GET", "/assets/index-abc.js", {"Accept-Encoding": "br"})
        wasm = await at.ask("GET", "/assets/meshopt-1.wasm")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Cache-Control"] == "no-cache"
    policy = page.headers["Content-Security-Policy"]
    for rule in (
        "script-src 'self' 'wasm-unsafe-eval'",
        "worker-src 'self' blob:",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "object-src 'none'",
    ):
        assert rule in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (packed.body, packed.headers["Content-Encoding"]) == (b"br", "br")
    assert wasm.headers["Content-Type"] == "application/wasm"


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/assets", "/assets/x.js", "/.secret", "/%2e%2e/store", "/assets/../.secret"],
)
async def test_what_the_viewer_does_not_hold_is_not_found(
    tmp_path: Path, built: Path, path: str
) -> None:
    async with site(tmp_path / "store", web_dir=built) as at:
        answer = await at.ask("GET", path)
    assert (answer.status, answer.reason) == (404, "NOT_FOUND")


async def test_the_viewer_comes_packed_without_being_built_so(tmp_path: Path, built: Path) -> None:
    script = b"export const answer = 42;\n" * 1000
    (built / "assets/big-1.js").write_bytes(script)
    (built / "assets/picture-1.png").write_bytes(script)
    async with site(tmp_path / "store", web_dir=built) as at:
        wanted = {"Accept-Encoding": "gzip, br"}
        first = await at.ask("GET", "/assets/big-1.js", wanted)
        again = await at.ask("GET", "/assets/big-1.js", wanted)
        known = {**wanted, "If-None-Match": first.headers["ETag"]}
        same = await at.ask("GET", "/assets/big-1.js", known)
        head = await at.ask("HEAD", "/assets/big-1.js", wanted)
        plain = await at.ask("GET", "/assets/big-1.js", {"Accept-Encoding": "identity"})
        part = await at.ask("GET", "/assets/big-1.js", {**wanted, "Range": "bytes=0-5"})
        picture = await at.ask("GET", "/assets/picture-1.png", wanted)
        (built / "assets/big-1.js").write_bytes(script[:2000])
        changed = await at.ask("GET", "/assets/big-1.js", wanted)
    assert first.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(first.body) == gzip.decompress(again.body) == script
    assert len(first.body) < 1000
    assert (same.status, head.headers["Content-Length"]) == (304, str(len(first.body)))
    assert plain.body == script
    assert plain.headers["ETag"] != first.headers["ETag"]
    assert (part.status, part.body) == (206, b"export")
    assert "Content-Encoding" not in picture.headers
    assert gzip.decompress(changed.body) == script[:2000]


@pytest.mark.parametrize("exists", [True, False])
async def test_a_viewer_that_is_not_built_says_how(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path / "web"
    if exists:
        folder.mkdir()
    async with site(tmp_path / "store", web_dir=folder) as at:
        page = await at.ask("GET", "/")
        assert page.status == 503
        assert b"make viewer" in page.body
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text("built")
        assert (await at.ask("GET", "/")).body == b"built"  # without a restart


async def test_the_server_says_that_it_is_well(tmp_path: Path) -> None:
    async with site(tmp_path) as at:
        answer = await at.ask("GET", "/healthz")
    assert (answer.status, json.loads(answer.body)) == (200, {"status": "ok"})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "192.168.1.1", "", "[::2]:80"])
async def test_on_loopback_no_other_name_is_answered(tmp_path: Path, host: str) -> None:
    async with site(tmp_path) as at:
        answer = await at.ask("GET", "/healthz", {"Host": host})
    assert answer.status in {400, 421}


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:9"])
async def test_all_names_of_loopback_are_answered(tmp_path: Path, host: str) -> None:
    async with site(tmp_path) as at:
        assert (await at.ask("GET", "/healthz", {"Host": host})).status == 200


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}"):
            async with HttpServer(web.Application(), "127.0.0.1", port):
                pass


async def test_an_unexpected_error_tells_nothing_of_itself() -> None:
    async def broken(request: web.Request) -> web.Response:
        raise RuntimeError("the password is 1234")

    app = web.Application(middlewares=[errors_as_json])
    app.router.add_get("/", broken)
    async with (
        HttpServer(app, "127.0.0.1", 0) as server,
        aiohttp.ClientSession() as session,
        session.get(f"http://{server.address}/") as response,
    ):
        answer = await response.json()
    assert (response.status, answer["reason"]) == (500, "INTERNAL")
    assert "1234" not in answer["message"]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidInputError("BAD_URI", "key", "m"), 400),
        (errors.InvalidInputError("UNREADABLE_VIDEO", "body", "m"), 422),
        (errors.NotFoundError("NOT_FOUND", "m"), 404),
        (errors.AlreadyExistsError("OUTPUT_EXISTS", "m"), 409),
        (errors.NotReadyError("OUTPUT_BUSY", "m"), 423),
        (errors.NotReadyError("SCENE_INCOMPLETE", "m"), 409),
        (errors.LimitExceededError("INPUT_TOO_LARGE", "m"), 413),
        (errors.LimitExceededError("TOO_MANY_REQUESTS", "m"), 503),
        (errors.StorageFullError("m"), 507),
        (errors.EngineUnavailableError("STORE_UNAVAILABLE", "m"), 503),
        (errors.UnauthenticatedError("UNAUTHENTICATED", "m"), 401),
        (errors.ForbiddenError("FORBIDDEN", "m"), 403),
        (errors.CorruptArtifactError("CORRUPT_ARTIFACT", "m"), 500),
        (errors.InternalError(), 500),
    ],
)
def test_every_typed_error_has_its_status(error: errors.EpiparError, status: int) -> None:
    assert status_of(error) == status


class Files:
    """``python -m epipar_gateway.serve_files`` as a process."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "epipar_gateway.serve_files", *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.ready = json.loads(line) if line else {}

    def end(self) -> tuple[int, str]:
        _, words = self.process.communicate(timeout=120)
        return self.process.returncode, words


async def test_a_folder_is_shown_until_it_is_told_to_stop(tmp_path: Path, built: Path) -> None:
    (tmp_path / "tileset.json").write_text("{}")
    (tmp_path / ".hidden").write_text("secret")
    files = Files("--root", str(tmp_path), "--src", "tileset.json", "--web-dir", str(built))
    assert (files.ready["event"], files.ready["service"]) == ("ready", "files")
    assert files.ready["pid"] == files.process.pid
    base = f"http://{files.ready['address']}"
    assert files.ready["url"] == f"{base}/#/view?src=/files/tileset.json"
    async with aiohttp.ClientSession(base) as session:
        async with session.get("/files/tileset.json") as answer:
            assert await answer.read() == b"{}"
        for path in ("/files/.hidden", "/uploads/x"):
            async with session.get(path) as answer:
                assert answer.status == 404
    files.process.send_signal(signal.SIGTERM)
    assert files.end()[0] == 0


@pytest.mark.parametrize("by_variable", [True, False])
def test_a_folder_is_shown_no_longer_than_its_starter_lives(
    tmp_path: Path, by_variable: bool
) -> None:
    files = (
        Files("--root", str(tmp_path), EPIPAR_FILES_STOP_ON_STDIN_EOF="true")
        if by_variable
        else Files("--root", str(tmp_path), "--stop-on-stdin-eof")
    )
    assert files.ready
    assert files.end()[0] == 0  # communicate() ends its standard input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--root", "/nowhere"], "must be a folder"),
        (["--root", ".", "--host", "0.0.0.0"], "must be loopback"),  # noqa: S104 - is refused
        (["--root", ".", "--src", "missing.glb"], "missing.glb"),
        (["--root", ".", "--src", "../x"], "'..'"),
    ],
)
def test_a_folder_that_cannot_be_shown_is_refused(arguments: list[str], words: str) -> None:
    files = Files(*arguments)
    status, said = files.end()
    assert (status, files.ready) == (2, {})
    assert words in said


async def test_uploads_and_files_are_one_site(tmp_path: Path) -> None:
    async def check(at: Site) -> None:
        assert (await at.ask("OPTIONS", "/uploads")).headers["Tus-Resumable"] == "1.0.0"
        assert "Tus-Resumable" not in (await at.ask("GET", "/files/scenes/x")).headers

    async with site(tmp_path) as at:
        await check(at)
