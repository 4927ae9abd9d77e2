"""A surface in the element: fetched when it is wanted, in its colours, lit or not, with the points."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import sync_playwright

from epipar_scene.arrays import U8
from tests.browser.element_site import (
    BACKGROUND,
    PATCHES,
    ElementPage,
    Site,
    build,
    card_surface,
    chromium_path,
    export_card,
    launch,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SURFACE = 'src="/card/tileset.json" surface-src="/card/surface.glb" edl="0"'
BEFORE = ([0.0, 0.0, -0.6], [0.0, 0.0, -3.0])
BEHIND = ([0.0, 0.0, -5.4], [0.0, 0.0, -3.0])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The built library, the exported card and its surface."""
    chromium_path()
    root = tmp_path_factory.mktemp("surface")
    export_card(root / "card")
    (root / "card/surface.glb").write_bytes(card_surface("meshopt"))
    (root / "card/plain.glb").write_bytes(card_surface("none"))
    return {"/lib/": build("lib", root / "lib"), "/card/": root / "card"}


@pytest.fixture(scope="module")
def site(folders: dict[str, Path]) -> Iterator[Site]:
    """The files on loopback."""
    with Site(folders).running() as running:
        yield running


@pytest.fixture(scope="module")
def opened(site: Site) -> Iterator[Any]:
    """Opens pages with an element; none may have thrown."""
    pages: list[ElementPage] = []
    with sync_playwright() as playwright:
        browser = launch(playwright)

        def open_page(attributes: str) -> ElementPage:
            pages.append(ElementPage.open(browser, site, attributes))
            pages[-1].settle()
            return pages[-1]

        yield open_page
        browser.close()
    assert [error for page in pages for error in page.errors] == []


def show(view: ElementPage, script: str) -> U8:
    """Change the element, wait for what it wants then, and take a picture."""
    view.page.evaluate(script)
    view.frames(2)
    view.settle()
    return view.picture()


def middle_colors(picture: U8) -> Any:
    """Return the colours beside the picture's middle, one of each quarter."""
    height, width = picture.shape[:2]
    places = [(y, x) for y in (0.3, 0.7) for x in (0.35, 0.65)]
    return np.array([picture[int(y * height), int(x * width)] for y, x in places]).astype(int)


def covered(picture: U8) -> float:
    """Return the share of the picture that is not background."""
    return float((np.abs(picture.astype(int) - BACKGROUND).max(axis=2) > 3).mean())


def test_a_surface_is_fetched_when_it_is_shown_and_has_its_colours(opened: Any, site: Site) -> None:
    site.asked.clear()
    view = opened(SURFACE)
    view.look(*BEFORE)
    points = view.picture()
    assert "/card/surface.glb" not in site.asked
    surface = show(view, "v.surface = 'surface'")
    assert site.asked.count("/card/surface.glb") == 1
    assert np.abs(middle_colors(surface) - PATCHES).max() <= 3
    # The surface is wider than the points: what is drawn is it, and then both, and then not.
    assert covered(surface) > 0.99 > covered(points)
    assert covered(show(view, "v.surface = 'both'")) > 0.99
    assert covered(show(view, "v.surface = 'points'")) < 0.99
    assert site.asked.count("/card/surface.glb") == 1


def test_light_shows_shape_and_the_back_is_dark(opened: Any) -> None:
    view = opened(f'{SURFACE} surface="surface"')
    view.look(*BEFORE)
    unlit = middle_colors(view.picture())
    lit = middle_colors(show(view, "v.surfaceLit = true"))
    assert np.abs(lit - unlit).max() > 5
    assert (lit.argmax(axis=1) == unlit.argmax(axis=1))[1:].all()
    view.page.evaluate("v.surfaceLit = false")
    view.look(*BEHIND)
    assert middle_colors(view.picture()).max() < PATCHES.max() * 0.75


def test_a_surface_without_compression_is_shown_too(opened: Any) -> None:
    view = opened('src="/card/tileset.json" surface-src="/card/plain.glb" surface="both" edl="0"')
    view.look(*BEFORE)
    assert np.abs(middle_colors(view.picture()) - PATCHES).max() <= 3


def test_a_broken_surface_is_told_and_the_points_stay(opened: Any, site: Site) -> None:
    site.answers["/card/broken.glb"] = [b"glTF and then nothing of it"]
    view = opened('src="/card/tileset.json" surface-src="/card/broken.glb" surface="surface"')
    view.look(*BEFORE)
    (told,) = view.events("error")
    assert (told["fatal"], told["url"].rpartition("/")[2]) == (False, "broken.glb")
    assert covered(view.picture()) > 0.3
