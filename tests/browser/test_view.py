"""What `epipar view` opens: a scene's exports, its completions and its surfaces in one page."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from epipar_cli.view_page import view_of
from tests.browser.conftest import PHONE, NewPage
from tests.browser.element_site import BACKGROUND, card_cameras, card_surface, export_card
from tests.browser.scripted import require_app

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG_MS = 120_000
VIEWER = "epipar-viewer.after"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a scene with a surface, and a completion without one."""
    require_app()
    folder = tmp_path_factory.mktemp("view") / "card & co"
    completion = folder / "completions/default"
    export_card(folder / "exports/default")
    (folder / "exports/default/surface_medium.glb").write_bytes(card_surface("meshopt"))
    export_card(completion / "exports/default", filled=True)
    for place in (folder, completion):
        (place / "transforms.json").write_text(card_cameras())
    filled = {"filled": {"reprojected": 3, "plane": 1}}
    (completion / "completion.json").write_text(json.dumps(filled))
    return folder


@pytest.fixture(scope="module")
def address(scene: Path) -> Iterator[str]:
    """Serve the scene as the command does."""
    command = [sys.executable, "-m", "epipar_gateway.serve_files", "--root", str(scene)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()


def opened(new_page: NewPage, url: str, **options: Any) -> Page:
    """Open an address and wait until all that it wants is drawn."""
    page = new_page(**options)
    page.set_default_timeout(LONG_MS)
    page.goto(url)
    settle(page)
    return page


def settle(page: Page) -> None:
    """Wait for what the viewer wants now."""
    page.locator(VIEWER).wait_for()
    page.wait_for_function(
        f"""async () => {{
            const viewer = document.querySelector('{VIEWER}');
            await new Promise(requestAnimationFrame);
            return (await viewer.whenSettled()).pointsDrawn > 0;
        }}"""
    )


def covered(page: Page) -> float:
    """Return the share of the viewer's picture that is not background."""
    data = page.locator(VIEWER).evaluate(
        """async (viewer) =>
            [...new Uint8Array(await (await viewer.screenshot()).arrayBuffer())]"""
    )
    pixels = np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB")).astype(int)
    return float((np.abs(pixels - BACKGROUND).max(axis=2) > 3).mean())


def test_a_surface_beside_the_points_can_be_shown_lit_and_stands_in_the_address(
    scene: Path, address: str, new_page: NewPage
) -> None:
    page = opened(new_page, view_of(scene).page(address))
    points = covered(page)
    expect(page.get_by_role("button", name="Lit")).to_have_count(0)
    with page.expect_response("**/surface_medium.glb"):
        page.get_by_role("button", name="Surface", exact=True).click()
    page.get_by_role("button", name="Lit").click()
    settle(page)
    # The surface is twice as wide as the points.
    assert covered(page) > points * 1.2 > 0
    page.reload()
    settle(page)
    for name in ("Surface", "Lit"):
        button = page.get_by_role("button", name=name, exact=True)
        expect(button).to_have_attribute("aria-pressed", "true")


def test_a_completion_is_chosen_and_compared_also_by_the_address(
    scene: Path, address: str, new_page: NewPage
) -> None:
    page = opened(new_page, view_of(scene).page(address))
    page.get_by_role("button", name="Completed").click()
    settle(page)
    # It was exported without a surface, and its file says what was filled.
    expect(page.get_by_role("button", name="Surface", exact=True)).to_have_count(0)
    page.get_by_role("button", name="What was filled").click()
    expect(page.get_by_text("75 %")).to_be_visible()
    page.get_by_label("Compare with before").check()
    page.locator("epipar-viewer.before").wait_for()
    # Both are there from the first: neither may place the other before it stands somewhere itself.
    page.reload()
    settle(page)
    states = page.locator("epipar-viewer").evaluate_all(
        "async (both) => { for (const it of both) await it.whenSettled();"
        " return both.map((it) => [it.stats.pointsDrawn > 0, it.viewState.position.map(Math.fround)]); }"
    )
    assert [has_points for has_points, _ in states] == [True, True]
    assert np.allclose(states[0][1], states[1][1], atol=1e-3)


def test_on_a_phone_every_tool_is_within_reach(
    scene: Path, address: str, new_page: NewPage
) -> None:
    page = opened(new_page, view_of(scene).page(address), viewport=PHONE, has_touch=True)
    page.get_by_role("button", name="Surface", exact=True).click()
    for width in (PHONE["width"], 320):
        page.set_viewport_size({"width": width, "height": 640})
        outside = page.locator(".tools button").evaluate_all(
            """(all) => all.map((it) => [it.ariaLabel ?? it.textContent, it.getBoundingClientRect()])
                .filter(([, box]) => box.left < 0 || box.right > innerWidth)
                .map(([name]) => name)"""
        )
        assert outside == []


def test_files_alone_offer_no_scenes_and_no_upload(
    scene: Path, address: str, new_page: NewPage
) -> None:
    page = opened(new_page, view_of(scene / "exports/default").page(address))
    expect(page.get_by_role("heading", name="card & co")).to_have_count(1)
    for name in ("Scenes", "Jobs"):
        expect(page.get_by_role("link", name=name)).to_have_count(0)
    expect(page.get_by_role("button", name="New scene")).to_have_count(0)


def test_a_scene_whose_root_is_broken_shows_the_rest_and_one_without_any_says_so(
    scene: Path, address: str, new_page: NewPage
) -> None:
    url = view_of(scene / "exports/default").page(address)
    page = new_page()
    page.set_default_timeout(LONG_MS)
    page.route("**/tiles/0_0_0_0.glb", lambda route: route.fulfill(body=b"glTF is not this"))
    page.goto(url)
    settle(page)
    assert covered(page) > 0.1
    expect(page.get_by_text("A part of the scene cannot be read")).to_be_visible()
    page.route("**/tiles/*.glb", lambda route: route.fulfill(body=b"glTF is not this"))
    page.reload()
    expect(page.get_by_text("The scene cannot be shown")).to_be_visible(timeout=LONG_MS)
    expect(page.get_by_text("Loading the scene")).to_have_count(0)


def test_a_broken_surface_is_named(scene: Path, address: str, new_page: NewPage) -> None:
    page = new_page()
    page.set_default_timeout(LONG_MS)
    page.route("**/surface_medium.glb", lambda route: route.fulfill(body=b"glTF is not this"))
    page.goto(view_of(scene).page(address) + "&as=surface")
    expect(page.get_by_text("The surface cannot be read")).to_be_visible(timeout=LONG_MS)
    settle(page)
    assert covered(page) > 0.1
