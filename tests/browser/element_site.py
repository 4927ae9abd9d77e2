"""What the element's tests share: the built library, files on loopback, a page with one element."""

from __future__ import annotations

import base64
import contextlib
import http.server
import io
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from epipar_export.color import linear_from_srgb
from epipar_export.exporter import export_cloud
from epipar_export.options import ExportOptions
from epipar_export.surface.encode import on_grid, surface_glb
from epipar_export.surface.mesh import Mesh
from epipar_scene.arrays import U8
from epipar_scene.clouds import PointCloud

VIEWER = Path(__file__).resolve().parents[2] / "gateway/viewer"
FLAGS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",
]
WEBGPU_FLAGS = [
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
    "--use-vulkan=swiftshader",
    "--use-angle=swiftshader",
]
BACKGROUND = (20, 23, 28)
PATCHES = np.array([[119, 119, 119], [200, 40, 40], [30, 160, 60], [12, 14, 90]], np.uint8)
"""sRGB of the card's quarters as the scene's camera sees them: upper left, right, lower left, right."""
ORIGINS = np.array([0, 1, 2, 4], np.uint8)
"""Provenance of the card's quarters where it counts as filled, in the same order."""
UNSURE, SURE = 60, 250
"""Confidence of the card's left and right half."""
SURFACE_SIDE = 81
"""Vertices along a side of the card's surface."""
_TYPES = {
    "": "text/html",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
}


def card_cloud(side: int = 360, *, filled: bool = False) -> PointCloud:
    """A card of four colours, 2 by 2, three units before the world's origin."""
    steps = (np.arange(side) + 0.5) / side * 2 - 1
    x, y = (part.ravel() for part in np.meshgrid(steps, steps))
    positions = np.stack([x, y, np.full(len(x), 3.0)], axis=1)
    quarter = (y > 0) * 2 + (x > 0)
    return PointCloud(
        positions.astype(np.float32),
        PATCHES[quarter],
        np.where(x < 0, UNSURE, SURE).astype(np.uint8),
        ORIGINS[quarter] if filled else None,
    )


def card_surface(codec: str) -> bytes:
    """The card of the other tests as triangles that face the cameras, twice as wide as its points."""
    row, column = np.mgrid[:SURFACE_SIDE, :SURFACE_SIDE]
    x, y = (4 * part.ravel() / (SURFACE_SIDE - 1) - 2 for part in (column, row))
    places = np.stack([x, y, np.full(len(x), 3.0)], axis=1)
    at = (row * SURFACE_SIDE + column)[:-1, :-1].ravel()
    triangles = np.concatenate(
        [
            np.stack([at, at + SURFACE_SIDE + 1, at + 1], 1),
            np.stack([at, at + SURFACE_SIDE, at + SURFACE_SIDE + 1], 1),
        ]
    )
    mesh = Mesh(places.astype(np.float32), triangles.astype(np.uint32))
    assert mesh.normals()[:, 2].max() < -0.99
    colors = linear_from_srgb(PATCHES[(y > 0) * 2 + (x > 0)] / 255).astype(np.float32)
    options = ExportOptions(codec=codec)  # type: ignore[arg-type]  # the tests name codecs that exist
    return surface_glb(on_grid(mesh, colors, 14, 0.05), options)


def card_cameras(count: int = 3) -> str:
    """transforms.json of cameras in a row that look at the card, as nerfstudio writes them."""
    frames = []
    for number in range(count):
        matrix = np.diag([1.0, -1.0, -1.0, 1.0])
        matrix[0, 3] = 0.6 * (number - (count - 1) / 2)
        name = f"images/frame_{number + 1:05}.png"
        frames.append({"file_path": name, "transform_matrix": matrix.tolist()})
    return json.dumps({"w": 640, "h": 480, "fl_x": 640, "fl_y": 640, "frames": frames})


def export_card(folder: Path, codec: str = "meshopt", *, filled: bool = False) -> dict[str, Any]:
    """Export the card with the real exporter; return its export.json."""
    folder.mkdir(parents=True)
    options = ExportOptions(
        codec=codec,  # type: ignore[arg-type]  # the tests name codecs that exist
        preview_points=5_000,
        medium_points=30_000,
        write_ply=False,
        write_tiles=codec == "meshopt",
    )
    export_cloud(card_cloud(filled=filled), folder, options)
    (folder / "transforms.json").write_text(card_cameras())
    manifest: dict[str, Any] = json.loads((folder / "export.json").read_text())
    return manifest


def build(mode: str, folder: Path) -> Path:
    """Build the library or the page of other viewers; skip without Node, fail on errors."""
    beside = str(Path(sys.executable).parent)
    npx = shutil.which("npx", path=f"{beside}:{os.environ['PATH']}")
    if npx is None or not (VIEWER / "node_modules").exists():
        pytest.skip("no Node or no gateway/viewer/node_modules: run `npm ci` there")
    command = [npx, "vite", "build", "--mode", mode, "--outDir", str(folder), "--logLevel", "error"]
    environment = os.environ | {"PATH": f"{beside}:{os.environ['PATH']}"}
    subprocess.run(command, cwd=VIEWER, check=True, env=environment, stdout=subprocess.DEVNULL)
    return folder


@dataclass(slots=True)
class Site:
    """Serves folders under path prefixes; answers of single paths can be replaced.

    Attributes:
        folders: prefix such as "/lib/" → folder.
        answers: path → statuses or bytes to give, one after the other, before the file itself.
        asked: the paths of all requests.
    """

    folders: dict[str, Path]
    answers: dict[str, list[int | bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    origin: str = ""

    @contextlib.contextmanager
    def running(self) -> Iterator[Site]:
        """Serve on a free port of loopback."""
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body = site.answer(self.path.partition("?")[0])
                self.send_response(status)
                suffix = Path(self.path.partition("?")[0]).suffix
                self.send_header("Content-Type", _TYPES.get(suffix, "application/octet-stream"))
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Access-Control-Allow-Origin", "*")
                self.end_headers()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base's name
                """Say nothing."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.origin = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return what a path gives now."""
        self.asked.append(path)
        if path == "/favicon.ico":
            return 204, b""
        if path == "/":
            return 200, b"<!doctype html><title>Test</title><body style='margin:0'>"
        replaced = self.answers.get(path)
        if replaced:
            first = replaced.pop(0)
            return (first, b"") if isinstance(first, int) else (200, first)
        for prefix, folder in self.folders.items():
            file = folder / path.removeprefix(prefix)
            if path.startswith(prefix) and file.is_file():
                return 200, file.read_bytes()
        return 404, b""


def chromium_path() -> str:
    """Return where Chromium is, or skip."""
    path = os.environ.get("EPIPAR_CHROMIUM", "/usr/bin/chromium")
    if not Path(path).exists():
        pytest.skip(f"no Chromium at {path} (set EPIPAR_CHROMIUM)")
    return path


def launch(playwright: Playwright, *more_flags: str) -> Browser:
    """Start a Chromium, or skip."""
    path = chromium_path()
    return playwright.chromium.launch(executable_path=path, args=[*FLAGS, *more_flags])


@dataclass(slots=True)
class ElementPage:
    """A page with one `<epipar-viewer id=v>`."""

    page: Page
    errors: list[str]

    @classmethod
    def open(
        cls,
        browser: Browser | BrowserContext,
        site: Site,
        attributes: str,
        size: tuple[int, int] = (480, 360),
        *,
        from_site: Site | None = None,
    ) -> ElementPage:
        """Open an empty page of a site and put the element into it."""
        page = browser.new_page()
        page.set_viewport_size({"width": size[0], "height": size[1]})
        found = cls(page, [])
        page.on("pageerror", lambda error: found.errors.append(str(error)))
        page.goto((from_site or site).origin + "/")
        page.evaluate(
            """async ([lib, attributes]) => {
                window.events = [];
                for (const name of ['progress', 'first-pixels', 'settled', 'error', 'camera', 'view',
                                    'display', 'region', 'region-end'])
                    addEventListener('epipar-' + name, (e) => events.push([name, e.detail]));
                await import(lib);
                document.body.innerHTML =
                    `<epipar-viewer id=v style="height: 100vh" ${attributes}></epipar-viewer>`;
                window.v = document.getElementById('v');
            }""",
            [f"{site.origin}/lib/epipar-viewer.js", attributes],
        )
        return found

    def settle(self) -> dict[str, Any]:
        """Wait until all that is wanted is there."""
        stats: dict[str, Any] = self.page.evaluate(
            """Promise.race([v.whenSettled(), new Promise((_, fail) => setTimeout(
                () => fail(new Error(`not settled in 60 s: ${JSON.stringify(v.stats)}`)), 60000))])"""
        )
        return stats

    def look(self, position: list[float], target: list[float]) -> dict[str, Any]:
        """Put the camera somewhere and wait for what it wants."""
        self.page.evaluate(
            "view => { v.viewState = view }", {"position": position, "target": target}
        )
        self.frames(2)
        return self.settle()

    def frames(self, count: int) -> None:
        """Let the browser show some frames."""
        self.page.evaluate(
            """async (count) => {
                for (let i = 0; i < count; i++) await new Promise(requestAnimationFrame);
            }""",
            count,
        )

    def picture(self) -> U8:
        """Return screenshot() as an (H, W, 3) array."""
        text = self.page.evaluate(
            """async () => {
                const bytes = new Uint8Array(await (await v.screenshot()).arrayBuffer());
                return btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(''));
            }"""
        )
        image = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
        return np.asarray(image)

    def events(self, name: str) -> list[Any]:
        """Return the details of the events of a kind so far."""
        found: list[Any] = self.page.evaluate(
            "name => events.filter((e) => e[0] === name).map((e) => e[1])", name
        )
        return found

    def stats(self) -> dict[str, Any]:
        """Return the element's stats."""
        found: dict[str, Any] = self.page.evaluate("v.stats")
        return found
