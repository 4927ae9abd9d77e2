"""The element in a real browser, on files of the real exporter, judged by its pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from epipar_scene.arrays import U8
from tests.browser.element_site import (
    BACKGROUND,
    ORIGINS,
    PATCHES,
    WEBGPU_FLAGS,
    ElementPage,
    Site,
    build,
    chromium_path,
    export_card,
    launch,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TILES = 'src="/card/tileset.json"'
BEFORE = ([0.0, 0.0, -0.6], [0.0, 0.0, -3.0])
"""A place from which the card fills most of the view (scene axes: y up, looking along -z)."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The built library and the exported card."""
    chromium_path()
    root = tmp_path_factory.mktemp("element")
    export_card(root / "card")
    export_card(root / "draco", "draco")
    export_card(root / "filled", filled=True)
    export_card(root / "filled-draco", "draco", filled=True)
    return {
        "/lib/": build("lib", root / "lib"),
        "/card/": root / "card",
        "/draco/": root / "draco",
        "/filled/": root / "filled",
        "/filled-draco/": root / "filled-draco",
    }


@pytest.fixture
def site(folders: dict[str, Path]) -> Iterator[Site]:
    """The files on loopback."""
    with Site(folders).running() as running:
        yield running


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """What drives browsers; a thread can have one."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """One Chromium for the module."""
    running = launch(playwright)
    yield running
    running.close()


@pytest.fixture
def opened(browser: Browser, site: Site) -> Iterator[Any]:
    """Opens pages with an element and closes them; none may have thrown."""
    pages: list[ElementPage] = []

    def open_page(attributes: str, **more: Any) -> ElementPage:
        pages.append(ElementPage.open(browser, site, attributes, **more))
        return pages[-1]

    yield open_page
    for page in pages:
        page.page.close()
    assert [error for page in pages for error in page.errors] == []


def quarters(picture: U8) -> U8:
    """Return the median colours around the middles of the card's quarters."""
    height, width = picture.shape[:2]
    places = [(y, x) for y in (0.3, 0.7) for x in (0.35, 0.65)]
    cut = [picture[int(y * height) - 9 :, int(x * width) - 9 :][:18, :18] for y, x in places]
    return np.array([np.median(part.reshape(-1, 3), axis=0) for part in cut], np.uint8)


def differs(picture: U8, color: Any = BACKGROUND) -> Any:
    """Return where a picture is not of a colour."""
    return np.abs(picture.astype(int) - np.array(color)).max(axis=2) > 3


def test_colours_come_out_as_they_went_in_and_the_card_has_no_holes(opened: Any) -> None:
    view = opened(f'{TILES} edl="0"')
    view.settle()
    view.look(*BEFORE)
    picture = view.picture()
    assert np.abs(quarters(picture).astype(int) - PATCHES).max() <= 2
    middle = picture[90:270, 150:330]
    assert differs(middle).mean() > 0.999
    assert [detail["fatal"] for detail in view.events("error")] == []


def test_lighting_leaves_a_flat_card_alone(opened: Any) -> None:
    view = opened(f'{TILES} edl="1"')
    view.settle()
    view.look(*BEFORE)
    assert np.abs(quarters(view.picture()).astype(int) - PATCHES).max() <= 2


def test_the_heat_map_shows_confidence_and_h_switches_it(opened: Any) -> None:
    view = opened(f'{TILES} edl="0"')
    view.settle()
    view.look(*BEFORE)
    view.page.focus("#v")
    view.page.keyboard.press("h")
    legend = view.page.evaluate(
        "import('/lib/epipar-viewer.js').then((lib) => lib.CONFIDENCE_LEGEND.colors)"
    )
    found = quarters(view.picture()).astype(int)
    low, high = (
        np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (legend[2], legend[-1])
    )
    # 60 of 255 lies just below the third of nine colours, 250 just below the last.
    assert np.abs(found[[0, 2]] - low).max() < 16
    assert np.abs(found[[1, 3]] - high).max() < 20
    view.page.keyboard.press("h")
    assert np.abs(quarters(view.picture()).astype(int) - PATCHES).max() <= 2


@pytest.mark.parametrize("source", ["/filled/tileset.json", "/filled-draco/scene_medium.glb"])
def test_the_highlight_shows_where_points_come_from(opened: Any, source: str) -> None:
    view = opened(f'src="{source}" edl="0" color-mode="provenance"')
    assert view.settle()["hasProvenance"]
    view.look(*BEFORE)
    found = quarters(view.picture()).astype(int)
    kinds = view.page.evaluate(
        "import('/lib/epipar-viewer.js').then((lib) => lib.PROVENANCE_LEGEND.kinds)"
    )
    colors = np.array([[int(k["color"][i : i + 2], 16) for i in (1, 3, 5)] for k in kinds])
    # Seen points are darker greys of themselves, filled ones have their kind's hue, lighter or darker.
    assert found[0].max() < PATCHES[0].max() * 0.6
    for quarter in (1, 2, 3):
        wanted = colors[ORIGINS[quarter]]
        others = np.delete(colors, ORIGINS[quarter], axis=0)
        turned = [_angle(found[quarter], color) for color in (wanted, *others)]
        assert turned[0] < 0.03
        assert min(turned[1:]) > turned[0]
    view.page.evaluate("v.colorMode = 'rgb'")
    assert np.abs(quarters(view.picture()).astype(int) - PATCHES).max() <= 2


def _angle(a: Any, b: Any) -> float:
    """Return the angle between two colours as directions."""
    cosine = np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
    return float(np.arccos(min(cosine, 1.0)))


def test_points_of_a_scene_that_was_never_filled_count_as_seen(opened: Any) -> None:
    view = opened(f'{TILES} edl="0" color-mode="provenance"')
    assert not view.settle()["hasProvenance"]
    view.look(*BEFORE)
    assert quarters(view.picture()).max() < PATCHES.max() * 0.6


def test_keys_pressed_at_once_each_count_and_are_told(opened: Any) -> None:
    view = opened(TILES)
    view.settle()
    view.page.evaluate(
        """() => { for (const key of ['h', 'c', 'p', 'c', 'c'])
            v.shadowRoot.querySelector('canvas').dispatchEvent(new KeyboardEvent('keydown', { key })) }"""
    )
    shown = [(each["colorMode"], each["showCameras"]) for each in view.events("display")]
    assert shown == [
        ("confidence", False),
        ("confidence", True),
        ("provenance", True),
        ("provenance", False),
        ("provenance", True),
    ]
    assert view.page.evaluate("[v.colorMode, v.showCameras]") == ["provenance", True]


def test_unsure_points_are_hidden_below_the_least_confidence(opened: Any) -> None:
    view = opened(f'{TILES} edl="0" min-confidence="0.5"')
    view.settle()
    view.look(*BEFORE)
    found = quarters(view.picture()).astype(int)
    assert np.abs(found[[0, 2]] - BACKGROUND).max() <= 1
    assert np.abs(found[[1, 3]] - PATCHES[[1, 3]]).max() <= 2


def test_a_broken_tile_is_reported_and_the_rest_is_drawn(
    opened: Any, site: Site, folders: dict[str, Path]
) -> None:
    tiles = sorted(folders["/card/"].glob("tiles/*.glb"), key=lambda f: f.stat().st_size)
    broken = f"/card/tiles/{tiles[-1].name}"
    site.answers[broken] = [b"glTF is not this"] * 9
    view = opened(TILES)
    view.settle()
    stats = view.look(*BEFORE)
    (error,) = view.events("error")
    assert error["url"].endswith(broken)
    assert (error["reason"], error["fatal"]) == ("BAD_CONTENT", False)
    assert stats["nodesDrawn"] >= 2
    assert differs(view.picture()).mean() > 0.3


def test_a_server_that_fails_for_a_moment_is_asked_again(opened: Any, site: Site) -> None:
    site.answers["/card/tiles/0_0_0_0.glb"] = [503]
    view = opened(TILES)
    assert view.settle()["pointsDrawn"] > 0
    assert site.asked.count("/card/tiles/0_0_0_0.glb") == 2
    assert view.events("error") == []


def test_an_absent_scene_is_a_fatal_error_in_words(opened: Any) -> None:
    view = opened('src="/card/nothing.json"')
    view.page.wait_for_function("events.some((e) => e[0] === 'error')")
    (error,) = view.events("error")
    assert (error["reason"], error["fatal"]) == ("HTTP_STATUS", True)
    assert "404" in error["message"]
    assert view.page.locator("#v .message").inner_text().startswith("This scene cannot be shown.")


def test_no_more_points_are_drawn_than_the_budget(opened: Any) -> None:
    view = opened(f'{TILES} point-budget="30000"')
    view.settle()
    few = view.look([0.0, 0.0, -2.5], [0.0, 0.0, -3.0])["pointsDrawn"]
    assert 0 < few <= 30_000
    view.page.evaluate("v.pointBudget = 1_000_000")
    view.frames(2)
    assert view.settle()["pointsDrawn"] > few


def test_nothing_is_drawn_at_rest(opened: Any) -> None:
    view = opened(TILES)
    view.settle()
    view.page.wait_for_function(
        """async () => {
            const before = v.stats.frames;
            for (let i = 0; i < 20; i++) await new Promise(requestAnimationFrame);
            return v.stats.frames === before;
        }"""
    )
    before = view.stats()["frames"]
    view.frames(30)
    assert view.stats()["frames"] == before
    view.page.evaluate("v.edl = 0.5")
    view.frames(3)
    assert view.stats()["frames"] > before


def test_keys_move_the_camera_and_r_brings_it_back(opened: Any) -> None:
    view = opened('src="/card/tileset.json" cameras="/card/transforms.json"')
    view.page.emulate_media(reduced_motion="reduce")
    view.settle()
    state = "JSON.stringify(v.viewState)"
    start = view.page.evaluate(state)
    view.page.focus("#v")
    seen = {start}
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowRight", "+"):
        view.page.keyboard.press(key)
        seen.add(view.page.evaluate(state))
    assert len(seen) == 5
    view.page.keyboard.press("r")
    view.frames(2)
    end = view.page.evaluate("v.viewState")
    assert np.allclose(end["position"], view.page.evaluate(f"JSON.parse('{start}')")["position"])
    assert view.events("view") != []
    assert view.page.locator("#v [role=status]").inner_text() == "View reset"


def test_frusta_stand_where_the_cameras_stood_and_can_be_picked(opened: Any) -> None:
    view = opened('src="/card/tileset.json" cameras="/card/transforms.json"')
    view.settle()
    behind = ([0.0, 0.9, 1.6], [0.0, 0.0, 0.0])
    view.look(*behind)
    without = view.picture()
    view.page.focus("#v")
    view.page.keyboard.press("c")
    changed = differs(view.picture() - without, 0)
    columns = np.flatnonzero(changed.any(axis=0))
    assert columns.min() < 240 < columns.max()
    # Three cameras in a row, evenly to the left and right of the middle.
    assert abs((columns.min() + columns.max()) / 2 - 240) < 8
    rows, places = np.nonzero(changed[:, 230:250])
    view.page.mouse.click(float(places.mean() + 230), float(rows.mean()))
    assert view.events("camera") == [{"index": 1, "name": "frame_00002.png"}]


def test_f_flies_to_the_first_camera(opened: Any) -> None:
    view = opened('src="/card/tileset.json" cameras="/card/transforms.json"')
    view.page.emulate_media(reduced_motion="reduce")
    view.settle()
    view.page.focus("#v")
    view.page.keyboard.press("f")
    assert np.allclose(view.page.evaluate("v.viewState")["position"], [-0.6, 0, 0], atol=1e-6)


def test_a_double_click_makes_the_point_under_it_the_pivot(opened: Any) -> None:
    view = opened(TILES)
    view.page.emulate_media(reduced_motion="reduce")
    view.settle()
    view.look(*BEFORE)
    view.page.mouse.dblclick(340, 180)
    view.page.wait_for_function("v.viewState.target[0] > 0.1")
    target = view.page.evaluate("v.viewState.target")
    assert abs(target[2] + 3) < 0.02
    assert abs(target[1]) < 0.02


@pytest.mark.parametrize("name", ["card/scene_preview.glb", "draco/scene_medium.glb"])
def test_single_glbs_are_shown_too(opened: Any, name: str) -> None:
    view = opened(f'src="/{name}" edl="0"')
    stats = view.settle()
    assert stats["pointsDrawn"] > 4_000
    view.look(*BEFORE)
    assert np.abs(quarters(view.picture()).astype(int) - PATCHES).max() <= 2


def test_a_page_of_another_origin_can_embed_it(opened: Any, site: Site) -> None:
    with Site({}).running() as other:
        view = opened(f'src="{site.origin}/card/tileset.json"', from_site=other)
        assert view.settle()["pointsDrawn"] > 0
        assert view.page.evaluate("origin") == other.origin
        view.page.goto("about:blank")


def test_a_lost_context_comes_back_with_its_points(opened: Any) -> None:
    view = opened(TILES)
    view.settle()
    view.look(*BEFORE)
    view.page.evaluate(
        """async () => {
            const gl = v.shadowRoot.querySelector('canvas').getContext('webgl2');
            const lost = gl.getExtension('WEBGL_lose_context');
            const until = (name) => new Promise((done) =>
                gl.canvas.addEventListener(name, done, { once: true }));
            let waiting = until('webglcontextlost');
            lost.loseContext();
            await waiting;
            waiting = until('webglcontextrestored');
            setTimeout(() => lost.restoreContext());
            await waiting;
        }"""
    )
    view.frames(2)
    view.settle()
    assert [detail["reason"] for detail in view.events("error")] == ["CONTEXT_LOST"]
    assert differs(view.picture()).mean() > 0.3


def test_an_element_taken_out_of_the_page_gives_its_gpu_and_workers_back(opened: Any) -> None:
    view = opened(TILES)
    view.settle()
    assert len(view.page.workers) >= 1
    view.page.evaluate(
        "window.gl = v.shadowRoot.querySelector('canvas').getContext('webgl2'); v.remove()"
    )
    view.page.wait_for_function("gl.isContextLost()")
    assert len(view.page.workers) == 0
    view.page.evaluate("document.body.append(v)")
    assert view.settle()["pointsDrawn"] > 0


def test_webgpu_draws_the_card_or_says_why_not(playwright: Playwright, site: Site) -> None:
    browser = launch(playwright, *WEBGPU_FLAGS)
    view = ElementPage.open(
        browser, site, 'src="/card/scene_preview.glb" renderer="webgpu" edl="0"'
    )
    stats = view.settle()
    view.look(*BEFORE)
    if stats["renderer"] != "webgpu":
        assert stats["note"].startswith("WebGL2 draws instead of WebGPU")
    assert np.abs(quarters(view.picture()).astype(int) - PATCHES).max() <= 2
    assert view.errors == []
    browser.close()


def test_without_webgpu_the_element_falls_back_and_notes_it(opened: Any) -> None:
    view = opened(f'{TILES} renderer="webgpu"')
    stats = view.settle()
    assert stats["renderer"] == "webgl2"
    assert "no WebGPU adapter" in stats["note"]
