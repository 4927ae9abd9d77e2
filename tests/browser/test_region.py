"""The box tool in a real browser: by mouse, touch and keys, in the scene folder's coordinates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, sync_playwright

from epipar_scene.arrays import F64
from tests.browser.element_site import (
    ElementPage,
    Site,
    build,
    chromium_path,
    export_card,
    launch,
)
from tests.browser.test_app_axe import RULES, VIEWER

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TILES = 'src="/card/tileset.json" edl="0"'
FRONT = ([0.0, 0.0, 0.0], [0.0, 0.0, -3.0])
"""The place of the scene's own camera: the card, 2 by 2, lies 3 units ahead (z = 3 in the scene)."""
ASIDE = ([-2.0, 1.2, -0.6], [0.0, 0.0, -3.0])
"""From the left and above, so that all three axes run across the view."""
SIDES = ("left", "right", "bottom", "top", "far", "near")
"""The handles in their order: the viewer's -x, x, -y, y, -z, z."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The built library and the exported card, on loopback."""
    chromium_path()
    root = tmp_path_factory.mktemp("region")
    export_card(root / "card")
    with Site({"/lib/": build("lib", root / "lib"), "/card/": root / "card"}).running() as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for the module."""
    with sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


@pytest.fixture
def view(browser: Browser, site: Site) -> Iterator[ElementPage]:
    """The card with a box before the scene's camera; nothing may have thrown."""
    found = ElementPage.open(browser, site, TILES)
    found.page.emulate_media(reduced_motion="reduce")
    found.settle()
    found.look(*FRONT)
    show_box(found)
    yield found
    found.page.close()
    assert found.errors == []


def show_box(view: ElementPage) -> None:
    """Ask for the tool and wait until its box has been told."""
    view.page.evaluate("v.regionTool = true")
    view.page.wait_for_function("events.some((e) => e[0] === 'region')")


def box(view: ElementPage) -> F64:
    """Return the box now, (2, 3): its smallest and its largest corner."""
    found = view.page.evaluate("[v.region.min, v.region.max]")
    return np.array(found)


def give(view: ElementPage, low: list[float], high: list[float]) -> None:
    """Set the box and let it be drawn."""
    view.page.evaluate("([min, max]) => { v.region = { min, max } }", [low, high])
    view.frames(2)


def handle(view: ElementPage, side: str) -> tuple[float, float]:
    """Return where the middle of a handle is."""
    found = view.page.locator("#v .handle").nth(SIDES.index(side)).bounding_box()
    assert found is not None, f"no handle at the {side}"
    return found["x"] + found["width"] / 2, found["y"] + found["height"] / 2


def pull(view: ElementPage, start: tuple[float, float], by: tuple[float, float]) -> None:
    """Drag with the mouse."""
    mouse = view.page.mouse
    mouse.move(*start)
    mouse.down()
    mouse.move(start[0] + by[0] / 2, start[1] + by[1] / 2)
    mouse.move(start[0] + by[0], start[1] + by[1])
    mouse.up()
    view.frames(2)


def test_it_starts_around_the_points_at_the_middle_of_the_view(view: ElementPage) -> None:
    low, high = box(view)
    assert (low < [0, 0, 3]).all()
    assert (high > [0, 0, 3]).all()
    # The view is 3.1 units high there: neither a crumb nor the whole room.
    assert ((high - low) > 0.5).all()
    assert ((high - low) < 1.6).all()
    (told, *_) = view.events("region")
    assert np.allclose([told["min"], told["max"]], [low, high])


def test_it_waits_for_a_scene_and_goes_with_its_attribute(browser: Browser, site: Site) -> None:
    view = ElementPage.open(browser, site, f"{TILES} region-tool")
    view.page.wait_for_function("events.some((e) => e[0] === 'region')")
    view.page.locator("#v .region").wait_for(state="attached")
    view.page.evaluate("v.regionTool = false")
    view.page.locator("#v .region").wait_for(state="detached")
    assert view.page.evaluate("v.region") is None
    assert view.events("region-end") == []
    view.page.close()


def test_a_handle_pulls_its_side_to_where_the_mouse_is(view: ElementPage) -> None:
    give(view, [-0.5, -0.5, 2.5], [0.5, 0.5, 3.5])
    view.look(*ASIDE)
    for side, axis, end in (("right", 0, 1), ("top", 1, 0), ("near", 2, 0), ("far", 2, 1)):
        before = box(view)
        start = handle(view, side)
        pull(view, start, (30, -18))
        after = box(view)
        changed = after != before
        assert changed[end, axis]
        assert changed.sum() == 1, f"{side} moved more than its side"
        moved = np.subtract(handle(view, side), start)
        # The handle follows the hand as far as it can: along its own axis.
        assert np.dot(moved, (30, -18)) > 0


def test_dragging_the_box_moves_it_across_the_view(view: ElementPage) -> None:
    give(view, [-0.5, -0.5, 2.8], [0.5, 0.5, 3.2])
    before = box(view)
    # 480 x 360, 55 degrees high: at the middle of the box, 3 units away, 115.3 pixels are one unit.
    pull(view, (205, 160), (57.7, -34.6))
    moved = box(view) - before
    assert np.allclose(moved, [[0.5, -0.3, 0]] * 2, atol=0.01)


def test_keys_move_it_and_with_shift_its_sides(view: ElementPage) -> None:
    give(view, [-0.6, -0.6, 2.4], [0.6, 0.6, 3.6])
    step = 0.1  # a twelfth of its side
    expected = box(view)
    view.page.locator("#v .region").focus()
    for key, change in (
        ("ArrowRight", [[step, 0, 0], [step, 0, 0]]),
        ("ArrowUp", [[0, -step, 0], [0, -step, 0]]),
        ("PageUp", [[0, 0, step], [0, 0, step]]),
        ("PageDown", [[0, 0, -step], [0, 0, -step]]),
        ("Shift+ArrowLeft", [[0, 0, 0], [-step, 0, 0]]),
    ):
        view.page.keyboard.press(key)
        expected = expected + change
        assert np.allclose(box(view), expected, atol=1e-6), key
    view.page.keyboard.press("Shift+PageUp")
    assert box(view)[1, 2] > expected[1, 2]
    view.page.wait_for_function(
        "v.shadowRoot.querySelector('[role=status]').textContent.startsWith('Box 1.1 by 1.2 by ')"
    )


def test_keys_on_the_box_leave_the_camera_alone(view: ElementPage) -> None:
    state = "JSON.stringify(v.viewState)"
    before = view.page.evaluate(state)
    view.page.locator("#v .region").focus()
    for key in ("ArrowLeft", "Shift+ArrowUp", "PageDown"):
        view.page.keyboard.press(key)
    view.frames(2)
    assert view.page.evaluate(state) == before


def test_escape_ends_it_and_gives_the_focus_back(view: ElementPage) -> None:
    assert view.page.evaluate("v.shadowRoot.activeElement.className") == "region"
    view.page.keyboard.press("Escape")
    view.page.locator("#v .region").wait_for(state="detached")
    assert len(view.events("region-end")) == 1
    assert not view.page.evaluate("v.regionTool")
    assert view.page.evaluate("v.shadowRoot.activeElement.tagName") == "CANVAS"


def test_points_in_the_box_are_marked(view: ElementPage) -> None:
    view.look([0.0, 0.0, -0.6], [0.0, 0.0, -3.0])
    give(view, [0.2, 0.2, 2.9], [0.8, 0.8, 3.1])
    marked = view.picture().astype(int)
    view.page.evaluate("v.regionTool = false")
    view.frames(2)
    rows, columns = np.nonzero(np.abs(marked - view.picture()).max(axis=2) > 20)
    # The lower right quarter's middle, at 144 pixels a unit around (240, 180).
    assert np.allclose([columns.min(), columns.max()], [240 + 0.2 * 144, 240 + 0.8 * 144], atol=4)
    assert np.allclose([rows.min(), rows.max()], [180 + 0.2 * 144, 180 + 0.8 * 144], atol=4)


def test_a_box_may_be_set_and_what_is_none_is_left_out(view: ElementPage) -> None:
    give(view, [-1, -1, 2], [1, 1, 4])
    view.page.evaluate("v.region = { min: [0, 0, 0], max: [0, 1, 1] }")
    view.page.evaluate("v.region = { min: [0, 0, NaN], max: [1, 1, 1] }")
    assert np.array_equal(box(view), [[-1, -1, 2], [1, 1, 4]])


def test_a_finger_moves_it_too(playwright_touch: ElementPage) -> None:
    view = playwright_touch
    give(view, [-0.5, -0.5, 2.8], [0.5, 0.5, 3.2])
    before = box(view)
    session = view.page.context.new_cdp_session(view.page)
    for kind, x in (("touchStart", 205), ("touchMove", 225), ("touchMove", 262.7)):
        points = [{"x": x, "y": 160}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    view.page.wait_for_function("before => v.region.min[0] > before + 0.4", arg=before[0, 0])
    assert np.allclose(box(view) - before, [[0.5, 0, 0]] * 2, atol=0.01)


@pytest.fixture
def playwright_touch(browser: Browser, site: Site) -> Iterator[ElementPage]:
    """The card with a box on a screen for fingers."""
    context = browser.new_context(viewport={"width": 480, "height": 360}, has_touch=True)
    found = ElementPage.open(context, site, TILES)
    found.page.emulate_media(reduced_motion="reduce")
    found.settle()
    found.look(*FRONT)
    show_box(found)
    yield found
    context.close()
    assert found.errors == []


def test_axe_finds_nothing_wrong(view: ElementPage) -> None:
    view.page.add_script_tag(path=VIEWER / "node_modules/axe-core/axe.min.js")
    found: list[Any] = view.page.evaluate(
        """rules => axe.run('#v', {runOnly: rules}).then(
            result => result.violations.map(each => each.id))""",
        RULES,
    )
    # The bare test page has no landmarks; what the element holds is judged.
    assert [each for each in found if each != "region"] == []
