"""Every view and state of the app is free of axe's violations: phone and desktop, light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import FilePayload, Page, ViewportSize

from tests.browser.conftest import DESKTOP, PHONE, NewPage
from tests.browser.scripted import VIEWER, ScriptedGateway, scripted_gateway

pytestmark = pytest.mark.browser

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SMALLEST: ViewportSize = {"width": 320, "height": 640}


@pytest.fixture(scope="module")
def gateway() -> Iterator[ScriptedGateway]:
    """Run one scripted gateway for all states."""
    yield from scripted_gateway()


def violations(page: Page) -> list[str]:
    """Run axe-core, which the page has, and return what it finds, with where."""
    found: list[dict[str, Any]] = page.evaluate(
        "rules => axe.run(document, {runOnly: rules}).then(result => result.violations)", RULES
    )
    return [
        f"{each['id']}: {[node['target'] for node in each['nodes']]} {each['nodes'][0]['any'][:1]}"
        for each in found
    ]


def wide(page: Page) -> bool:
    """Return whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def upload(page: Page) -> None:
    """Drop a note and begin an upload."""
    note: FilePayload = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no video"}
    clip: FilePayload = {"name": "clip.mp4", "mimeType": "video/mp4", "buffer": b"\0" * 1000}
    page.set_input_files("input.picker", [note, clip])
    page.get_by_text("Watch the job").wait_for()


def confirm_delete(page: Page) -> None:
    """Ask for a deletion."""
    page.get_by_role("button", name="Delete Office").click()
    page.get_by_role("dialog").wait_for()


def new_export(page: Page) -> None:
    """Open the dialog of a new export and have it refused."""
    show_details(page)
    page.get_by_role("button", name="New export").click()
    page.get_by_label("Name").fill("default")
    page.get_by_role("button", name="Export", exact=True).click()
    page.get_by_text("That name is taken").wait_for()


def show_details(page: Page) -> None:
    """Open the panel where it is closed, as on phones."""
    closed = page.get_by_role("button", name="Show details")
    if closed.count() > 0:
        closed.click()


def display(page: Page) -> None:
    """Show the heat map and the settings."""
    page.locator("epipar-viewer").wait_for()
    page.get_by_role("button", name="Confidence heat map").click()
    page.get_by_role("button", name="Display settings").click()


def fill_refused(page: Page) -> None:
    """Ask to fill where no inpaint service is."""
    show_details(page)
    page.get_by_role("button", name="Fill missing regions").click()
    page.get_by_text("The engine cannot run now").wait_for()


def put_a_box(page: Page) -> None:
    """Begin to remove something."""
    page.locator("epipar-viewer").evaluate("it => it.whenSettled()")
    show_details(page)
    page.get_by_role("button", name="Remove something").click()
    page.get_by_role("button", name="Remove what is in the box").and_(
        page.locator(":enabled")
    ).wait_for()


def fill_and_highlight(page: Page) -> None:
    """Fill, compare, and show what was filled."""
    page.locator("epipar-viewer").wait_for()
    show_details(page)
    page.get_by_role("button", name="Fill missing regions").click()
    page.get_by_text("Find what is missing").wait_for()
    page.evaluate("fetch('/fake/release?job=jobs/fill34567abc&count=1000', { method: 'POST' })")
    page.get_by_role("slider", name="Before and after").wait_for()
    hide = page.get_by_role("button", name="Hide details")
    if page.evaluate("innerWidth < 800"):
        hide.click()
    page.get_by_role("button", name="What was filled").click()
    page.locator(".legend").wait_for()


def nothing(page: Page) -> None:
    """Leave the page as it is."""


STATES: dict[str, tuple[str, str, str, Callable[[Page], None]]] = {
    # name: story, hash, a text to wait for, what to do then
    "empty": ("empty", "", "Make your first scene", nothing),
    "upload": ("empty", "", "Make your first scene", upload),
    "scenes": ("full", "", "Garden wall", nothing),
    "search": ("full", "?q=nothing", "No scene has", nothing),
    "delete": ("full", "", "Garden wall", confirm_delete),
    "running-job": ("full", "jobs/run234567abc", "Attempt 2", nothing),
    "waiting-job": ("full", "jobs/wait34567abc", "Waiting for its turn", nothing),
    "failed-job": ("full", "jobs/fail34567abc", "The film falls into parts", nothing),
    "no-job": ("full", "jobs/none34567abc", "It is not there", nothing),
    "jobs": ("full", "jobs", "2 attempts", nothing),
    "no-jobs": ("empty", "jobs", "Nothing has been made yet", nothing),
    "scene": ("full", "scenes/office", "Office", show_details),
    "scene-display": ("full", "scenes/office", "Office", display),
    "scene-running": ("full", "scenes/kitchen-run111", "Your scene is in the making", show_details),
    "scene-failed": ("full", "scenes/hallway-fail11", "could not be made", show_details),
    "scene-gone": ("full", "scenes/none", "It is not there", nothing),
    "new-export": ("full", "scenes/office", "Office", new_export),
    "fill-refused": ("full", "scenes/office", "Office", fill_refused),
    "box": ("full", "scenes/office", "Office", put_a_box),
    "filled": ("full", "scenes/office", "Office", fill_and_highlight),
    "unfilled-highlight": ("full", "scenes/office?color=provenance", "Nothing here", nothing),
    "view": ("full", "view?src=/files/room.glb&title=Room", "Room", nothing),
    "view-of-nothing": ("full", "view", "Nothing to view", nothing),
    "view-broken": ("full", "view?src=/files/none/tileset.json", "cannot be shown", nothing),
    "missing": ("full", "elsewhere", "There is nothing here", nothing),
}


def open_state(state: str, gateway: ScriptedGateway, page: Page) -> None:
    """Bring a fresh page and the script into a state."""
    story, where, text, act = STATES[state]
    gateway.pull(f"reset?scenes={story}")
    gateway.pull(f"completion?off={int(state == 'fill-refused')}")
    page.goto(f"{gateway.url}/#/{where}")
    page.get_by_text(text).first.wait_for(state="attached")
    act(page)


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("state", STATES)
def test_a_state_has_no_violations_in_light_and_dark(
    state: str,
    size: dict[str, int],
    gateway: ScriptedGateway,
    new_page: NewPage,
    pictures: Path,
) -> None:
    page = new_page(viewport=size, has_touch=size is PHONE, reduced_motion="reduce")
    open_state(state, gateway, page)
    page.add_script_tag(path=VIEWER / "node_modules/axe-core/axe.min.js")
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        found = violations(page)
        page.screenshot(path=pictures / f"{state}-{size['width']}-{scheme}.png")
        assert found == []
    assert not wide(page)
    if size is PHONE:
        page.set_viewport_size(SMALLEST)
        page.screenshot(path=pictures / f"{state}-320.png")
        assert not wide(page), "cut off on the smallest phone"


def test_targets_are_large_enough_for_fingers(gateway: ScriptedGateway, new_page: NewPage) -> None:
    gateway.pull("reset?scenes=full")
    page = new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    for where, text in (("", "Garden wall"), ("jobs", "2 attempts"), ("scenes/office", "Office")):
        page.goto(f"{gateway.url}/#/{where}")
        page.get_by_text(text).first.wait_for(state="attached")
        show_details(page)
        small = page.evaluate(
            """() => [...document.querySelectorAll('button, select, nav a, .downloads a')]
              .filter(it => it.checkVisibility())
              .map(it => [it.textContent.trim() || it.ariaLabel, it.getBoundingClientRect()])
              .filter(([, box]) => box.width < 44 || box.height < 44)
              .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)"""
        )
        assert small == []
