"""Draws a scene as points, surface, lit surface and completed, side by side, each row from one place.

``python -m benchmarks.viewer.side_by_side SCENE PICTURE [--view CAMERA] [--view X,Y,Z,X,Y,Z]``: a view
is the number of a camera, or where the eye is and what it looks at, in the viewer's axes; "start" is
where the viewer begins. SCENE is a scene folder that is made, exported and completed so:

    epipar reconstruct CLIP -o SCENE
    epipar export SCENE -o SCENE/exports/surface --surface
    epipar complete SCENE
    epipar export SCENE/completions/default -o SCENE/completions/default/exports/surface --surface

It needs ``make viewer`` and Chromium. In docs/pictures, surface_sample.jpg has the views "start" and
"-1.6,0.7,-0.1,0.1,-0.3,-2.2", surface_office.jpg the cameras 8 and 45. A view that begins with a
minus needs the equals sign: ``--view=-1.6,…``.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.viewer.__main__ import FLAGS

PANELS = (
    ("exports/surface", ""),
    ("exports/surface", "&as=surface"),
    ("exports/surface", "&as=surface&lit=1"),
    ("completions/default/exports/surface", ""),
)
SIZE = (720, 540)
SMALL = (400, 300)
GAP_PX = 6
MOST_BYTES = 245_000
_LOOK = """async (view) => {
  const viewer = document.querySelector('epipar-viewer');
  if (typeof view === 'number') viewer.flyToCamera(view);
  if (Array.isArray(view)) viewer.viewState = {position: view.slice(0, 3), target: view.slice(3)};
  await new Promise((done) => setTimeout(done, 4000));
  await viewer.whenSettled();
  const bytes = new Uint8Array(await (await viewer.screenshot()).arrayBuffer());
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return [btoa(text), JSON.stringify(viewer.viewState)];
}"""


def main() -> None:
    """Draw every panel from every view and put them together."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scene", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--view", type=view, action="append", help="repeat it for more rows")
    arguments = parser.parse_args()
    views = arguments.view or [None]
    with serving(arguments.scene) as address, sync_playwright() as playwright:
        chromium = os.environ.get("EPIPAR_CHROMIUM", "/usr/bin/chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        columns = []
        for root, extra in PANELS:
            page = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1] + 56})
            page.set_default_timeout(240_000)
            columns.append(list(drawn(page, f"http://{address}", root, extra, views)))
            page.close()
        browser.close()
    sheet = together([list(row) for row in zip(*columns, strict=True)])
    arguments.picture.write_bytes(small_enough(sheet))


def view(text: str) -> int | list[float] | None:
    """Return a camera's number, six coordinates, or None for the start."""
    if text == "start":
        return None
    if "," not in text:
        return int(text)
    numbers = [float(number) for number in text.split(",")]
    if len(numbers) != 6:
        raise argparse.ArgumentTypeError(f"{text} has {len(numbers)} coordinates; it must have 6")
    return numbers


@contextmanager
def serving(scene: Path) -> Iterator[str]:
    """Serve a scene folder and the viewer while this is open; give host and port."""
    command = [sys.executable, "-m", "epipar_gateway.serve_files", "--root", str(scene)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        if server.stdout is None:
            raise RuntimeError("the file server has no output")
        try:
            yield json.loads(server.stdout.readline())["address"]
        finally:
            server.terminate()


def drawn(page: Page, site: str, root: str, extra: str, views: list[Any]) -> Iterator[Image.Image]:
    """Yield the picture of one export from every view."""
    files = f"/files/{root}"
    query = f"src={files}/tileset.json&surface={files}/surface_medium.glb"
    page.goto(f"{site}/#/view?{query}&cameras=/files/transforms.json{extra}")
    page.wait_for_selector("epipar-viewer")
    page.evaluate("async () => { await document.querySelector('epipar-viewer').whenSettled(); }")
    shown = page.evaluate("document.querySelector('epipar-viewer').surface")
    wanted_layer = "surface" if "as=surface" in extra else "points"
    if shown != wanted_layer:
        raise RuntimeError(f"the viewer shows {shown}, not {wanted_layer}: run `make viewer` anew")
    for wanted in views:
        data, state = page.evaluate(_LOOK, wanted)
        print(root, extra, wanted, state, flush=True)
        yield Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")


def together(rows: list[list[Image.Image]]) -> Image.Image:
    """Return rows of pictures on one white sheet."""
    width, height = SMALL
    size = (
        (width + GAP_PX) * len(rows[0]) - GAP_PX,
        (height + GAP_PX) * len(rows) - GAP_PX,
    )
    sheet = Image.new("RGB", size, "white")
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            at = ((width + GAP_PX) * column, (height + GAP_PX) * row)
            sheet.paste(picture.resize(SMALL, Image.Resampling.LANCZOS), at)
    return sheet


def small_enough(sheet: Image.Image) -> bytes:
    """Return the best JPEG of at most MOST_BYTES."""
    for quality in range(90, 38, -2):
        file = io.BytesIO()
        sheet.save(file, "JPEG", quality=quality, optimize=True)
        if file.tell() <= MOST_BYTES:
            break
    return file.getvalue()


if __name__ == "__main__":
    main()
