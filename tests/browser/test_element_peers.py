"""The exported files in other people's readers, in a real browser: 3d-tiles-renderer and three.js."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.browser.element_site import Site, build, chromium_path, export_card, launch

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The exported card and its export.json."""
    chromium_path()
    folder = tmp_path_factory.mktemp("peers") / "card"
    return folder, export_card(folder)


@pytest.fixture(scope="module")
def page(
    card: tuple[Path, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """The page of other viewers."""
    pages = build("pages", tmp_path_factory.mktemp("pages") / "built")
    with (
        Site({"/pages/": pages, "/card/": card[0]}).running() as site,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        page = browser.new_page()
        page.goto(f"{site.origin}/pages/tests/pages/peers.html")
        page.wait_for_function("!!window.peer")
        yield page
        browser.close()


@pytest.mark.parametrize("level", ["preview", "medium", "full"])
def test_plain_three_loads_every_level(
    page: Page, card: tuple[Path, dict[str, Any]], level: str
) -> None:
    wanted = next(found["points"] for found in card[1]["levels"] if found["name"] == level)
    facts = page.evaluate("name => peer.glb(`/card/scene_${name}.glb`)", level)
    assert facts["points"] == wanted
    assert {"position", "color", "_confidence"} <= set(facts["attributes"])


def test_3d_tiles_renderer_loads_all_points_of_the_tiles(
    page: Page, card: tuple[Path, dict[str, Any]]
) -> None:
    page.evaluate("peer.scene.clear()")
    page.evaluate("peer.look([0, 0, -0.6], [0, 0, -3]); peer.tileset('/card/tileset.json', 0.001)")
    page.wait_for_function(
        "wanted => { const now = peer.tick(); return now.errors.length > 0 || now.points >= wanted; }",
        arg=card[1]["levels"][-1]["points"],
    )
    state = page.evaluate("peer.tick()")
    assert state["errors"] == []
    assert state["points"] == card[1]["levels"][-1]["points"]
