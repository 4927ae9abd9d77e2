"""What a person does in the app: by keyboard alone, over reloads, losses and errors."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.conftest import PHONE, NewPage
from tests.browser.scripted import ScriptedGateway, scripted_gateway

pytestmark = pytest.mark.browser

CLIP: FilePayload = {"name": "clip.mp4", "mimeType": "video/mp4", "buffer": b"\0" * 5000}
RUNNING = "jobs/run234567abc"
RECORD = """
  const kept = JSON.parse(sessionStorage.getItem('test.events') ?? '[]');
  addEventListener('epipar-job-event', ({ detail }) => {
    kept.push(detail.sequence);
    sessionStorage.setItem('test.events', JSON.stringify(kept));
  });
"""


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    """Run a scripted gateway."""
    yield from scripted_gateway()


def events(page: Page) -> list[int]:
    """Return the sequence of every event that reached the page, over its reloads."""
    seen: list[int] = page.evaluate("JSON.parse(sessionStorage.getItem('test.events') ?? '[]')")
    return seen


def finish(gateway: ScriptedGateway, page: Page) -> int:
    """Let the running job end, wait until the page says so, return its last sequence."""
    gateway.pull(f"release?job={RUNNING}&count=1000")
    expect(page.locator(".job-head .chip").first).to_have_text("Done")
    return int(gateway.pull(f"look?job={RUNNING}")["total"])


def press_until(page: Page, key: str, name: str) -> None:
    """Press a key until the focus is on what has this name."""
    for _ in range(40):
        page.keyboard.press(key)
        focused = page.evaluate(
            """(it => it === document.body ? '' : it.ariaLabel ?? it.textContent)(
              document.activeElement)"""
        )
        if name in focused:
            return
    raise AssertionError(f"40 times {key} did not reach {name!r}")


def test_a_keyboard_alone_leads_from_a_file_to_a_scene(
    gateway: ScriptedGateway, new_page: NewPage
) -> None:
    gateway.pull("reset?scenes=empty")
    page = new_page()
    page.goto(gateway.url)
    page.get_by_text("Make your first scene").wait_for()
    press_until(page, "Tab", "Choose a file")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(CLIP)
    page.get_by_text("Watch the job").wait_for()
    press_until(page, "Tab", "Watch the job")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Reconstruction of clip")
    job = "jobs/" + page.url.rsplit("/", 1)[1]
    gateway.pull(f"release?job={job}&count=1000")
    expect(page.get_by_text("Done").first).to_be_visible()
    page.evaluate("document.querySelector('main').focus()")
    press_until(page, "Tab", "Open the scene")
    page.keyboard.press("Enter")
    page.locator("epipar-viewer").wait_for()
    press_until(page, "Tab", "Confidence heat map")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{gateway.url}/#/scenes/clip-new111?color=confidence")
    press_until(page, "Tab", "Display settings")
    page.keyboard.press("Enter")
    expect(page.get_by_role("group", name="Display settings")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("group", name="Display settings")).to_be_hidden()


def test_a_reload_in_the_middle_of_a_job_loses_and_repeats_no_event(
    gateway: ScriptedGateway, new_page: NewPage
) -> None:
    page = new_page()
    page.add_init_script(RECORD)
    page.goto(f"{gateway.url}/#/{RUNNING}")
    page.get_by_text("Attempt 2").wait_for()
    first = int(gateway.pull(f"look?job={RUNNING}")["released"])
    for reload in range(4):
        gateway.pull(f"release?job={RUNNING}&count=5")
        page.wait_for_function(
            "last => JSON.parse(sessionStorage.getItem('test.events') ?? '[]').at(-1) === last",
            arg=first + 5 * (reload + 1),
        )
        if reload % 2 == 0:
            page.reload()
        else:
            gateway.pull("cut")
    total = finish(gateway, page)
    assert events(page) == list(range(first + 1, total + 1))
    assert max(watch.after_sequence for watch in gateway.watches()) < total


def test_a_server_that_goes_and_comes_back_changes_nothing(
    gateway: ScriptedGateway, new_page: NewPage, pictures: Path
) -> None:
    page = new_page()
    page.add_init_script(RECORD)
    page.goto(f"{gateway.url}/#/{RUNNING}")
    page.get_by_text("Attempt 2").wait_for()
    first = int(gateway.pull(f"look?job={RUNNING}")["released"])
    gateway.pull("away?on=1")
    expect(page.get_by_text("The server does not answer")).to_be_visible()
    expect(page.get_by_text("Reconnecting")).to_be_visible()
    expect(page.get_by_text("Attempt 2")).to_be_visible()
    page.screenshot(path=pictures / "server-away.png")
    gateway.pull("away?on=0")
    total = finish(gateway, page)
    expect(page.get_by_text("The server does not answer")).to_be_hidden()
    assert events(page) == list(range(first + 1, total + 1))


def test_a_page_holds_one_watch_stream(gateway: ScriptedGateway, new_page: NewPage) -> None:
    page = new_page()
    open_streams: list[str] = []
    page.on("request", lambda r: open_streams.append(r.url) if "WatchJob" in r.url else None)
    page.on("requestfailed", lambda r: open_streams.remove(r.url) if "WatchJob" in r.url else None)
    page.on(
        "requestfinished", lambda r: open_streams.remove(r.url) if "WatchJob" in r.url else None
    )
    for where, text in (
        ("", "Garden wall"),
        (RUNNING, "Attempt 2"),
        ("jobs/wait34567abc", "Waiting for its turn"),
        ("scenes/kitchen-run111", "in the making"),
        ("", "Garden wall"),
    ):
        page.goto(f"{gateway.url}/#/{where}")
        page.get_by_text(text).first.wait_for(state="attached")
        assert len(open_streams) <= 1


def test_a_cancelled_job_says_so(gateway: ScriptedGateway, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{gateway.url}/#/{RUNNING}")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled").first).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_hidden()


def test_a_file_too_large_for_the_browsers_own_hash_carries_one_too(
    gateway: ScriptedGateway, new_page: NewPage, tmp_path: Path
) -> None:
    clip = tmp_path / "long.mp4"
    clip.write_bytes(b"frames " * 10_000_000)
    page = new_page()
    page.goto(gateway.url)
    page.get_by_text("Garden wall").wait_for()
    with page.expect_request(lambda request: "upload-metadata" in request.headers) as sent:
        page.set_input_files("input.picker", clip)
    pairs = (pair.split(" ") for pair in sent.value.headers["upload-metadata"].split(","))
    told = {key: base64.b64decode(value).decode() for key, value in pairs}
    with clip.open("rb") as file:
        assert told["sha256"] == hashlib.file_digest(file, "sha256").hexdigest()


def test_an_upload_refused_by_its_kind_is_explained(
    gateway: ScriptedGateway, new_page: NewPage
) -> None:
    page = new_page(viewport=PHONE, has_touch=True)
    page.goto(gateway.url)
    note: FilePayload = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no video"}
    page.set_input_files("input.picker", [note])
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("That kind of file cannot become a scene")
    expect(alert).to_contain_text("Use a video (MP4")


def test_a_failed_job_says_why_and_what_helps(gateway: ScriptedGateway, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{gateway.url}/#/jobs/fail34567abc")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The film falls into parts that do not connect")
    expect(alert).to_contain_text("31 of 60 frames registered")
    expect(alert).to_contain_text("Film again slowly")


def test_a_job_that_this_browser_did_not_start_is_tried_again(
    gateway: ScriptedGateway, new_page: NewPage
) -> None:
    page = new_page()
    page.goto(f"{gateway.url}/#/jobs/fail34567abc")
    page.get_by_role("button", name="Try again").click()
    expect(page).to_have_url(re.compile("#/jobs/again"))
    expect(page.get_by_role("heading", name="Progress")).to_be_attached()


def test_a_scene_is_deleted_only_after_a_yes(gateway: ScriptedGateway, new_page: NewPage) -> None:
    page = new_page()
    page.goto(gateway.url)
    card = page.get_by_role("link", name="Office")
    page.get_by_role("button", name="Delete Office").click()
    page.keyboard.press("Escape")
    expect(card).to_be_visible()
    page.get_by_role("button", name="Delete Office").click()
    page.get_by_role("button", name="Delete scene").click()
    expect(card).to_be_hidden()


def test_a_finished_reconstruction_appears_by_itself(
    gateway: ScriptedGateway, new_page: NewPage
) -> None:
    page = new_page()
    page.goto(f"{gateway.url}/#/scenes/kitchen-run111")
    page.get_by_text("Your scene is in the making").wait_for()
    gateway.pull(f"release?job={RUNNING}&count=1000")
    page.locator("epipar-viewer").wait_for()
    expect(page.get_by_role("link", name="Full, GLB")).to_be_visible()


def test_missing_regions_are_filled_and_compared_with_before(
    gateway: ScriptedGateway, new_page: NewPage, pictures: Path
) -> None:
    page = new_page(reduced_motion="reduce")
    page.goto(f"{gateway.url}/#/scenes/office")
    page.get_by_role("button", name="Fill missing regions").click()
    page.get_by_text("Find what is missing").wait_for()
    gateway.pull("release?job=jobs/fill34567abc&count=1000")
    slider = page.get_by_role("slider", name="Before and after")
    slider.wait_for()
    expect(page.locator("epipar-viewer")).to_have_count(2)
    after = page.locator("epipar-viewer.after")
    before = page.locator("epipar-viewer.before")
    for viewer in (after, before):
        viewer.evaluate("it => it.whenSettled()")
    place = "it => it.viewState.position.map(value => value.toFixed(3)).join(' ')"
    began = after.evaluate(place)
    after.locator("canvas").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        "began => document.querySelector('.after').viewState.position"
        ".map(value => value.toFixed(3)).join(' ') !== began",
        arg=began,
    )
    expect(before).to_have_js_property("isConnected", value=True)
    page.wait_for_function(
        "() => JSON.stringify(document.querySelector('.after').viewState)"
        " === JSON.stringify(document.querySelector('.before').viewState)"
    )
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_value("51")
    page.screenshot(path=pictures / "before-after.png")
    page.get_by_label("Compare with before").uncheck()
    expect(page.locator("epipar-viewer")).to_have_count(1)


def mark_by_keys(gateway: ScriptedGateway, page: Page) -> None:
    """Open the office and put a box into it, by the keyboard alone."""
    page.goto(f"{gateway.url}/#/scenes/office")
    page.locator("epipar-viewer.after").evaluate("it => it.whenSettled()")
    press_until(page, "Tab", "Remove something")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove what is in the box")).to_be_enabled()
    # The box has the focus, and says so.
    page.wait_for_function(
        "document.querySelector('.after').shadowRoot.activeElement?.className === 'region'"
    )


def test_what_a_box_holds_is_removed_by_the_keyboard_alone(
    gateway: ScriptedGateway, new_page: NewPage, pictures: Path
) -> None:
    page = new_page(reduced_motion="reduce")
    mark_by_keys(gateway, page)
    region = "JSON.stringify(document.querySelector('.after').region)"
    before = page.evaluate(region)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_function(f"before => {region} !== before", arg=before)
    box = page.evaluate(f"JSON.parse({region})")
    page.screenshot(path=pictures / "box.png")
    press_until(page, "Tab", "Remove what is in the box")
    page.keyboard.press("Enter")
    page.get_by_text("Find what is missing").wait_for()
    expect(page.locator("epipar-viewer .region")).to_have_count(0)
    (asked,) = gateway.pull("look")["asked"]
    assert asked["intent"] == "INTENT_REMOVE"
    (shape,) = asked["masks"]["regions"]
    for corner, values in (("min", box["min"]), ("max", box["max"])):
        told = [shape["box"][corner].get(axis, 0.0) for axis in "xyz"]
        assert told == pytest.approx(values, abs=1e-9)
    job = f"jobs/{asked['completionName'].replace('-', '')}"
    gateway.pull(f"release?job={job}&count=1000")
    page.get_by_role("slider", name="Before and after").wait_for()
    expect(page.get_by_role("button", name="Removed")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text("It is gone")).to_be_visible()
    link = page.get_by_role("link", name="Full, GLB")
    expect(link).to_have_attribute("href", re.compile(asked["completionName"]))
    expect(page.get_by_role("button", name="Fill missing regions")).to_be_enabled()


def test_escape_ends_the_box_and_asks_for_nothing(
    gateway: ScriptedGateway, new_page: NewPage
) -> None:
    page = new_page(reduced_motion="reduce")
    mark_by_keys(gateway, page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("group", name="Remove something")).to_be_hidden()
    expect(page.locator("epipar-viewer .region")).to_have_count(0)
    expect(page.get_by_role("button", name="Remove something")).to_be_focused()
    assert gateway.pull("look")["asked"] == []


def test_a_removal_that_is_refused_says_why(gateway: ScriptedGateway, new_page: NewPage) -> None:
    gateway.pull("completion?off=1")
    page = new_page(viewport=PHONE, has_touch=True, reduced_motion="reduce")
    page.goto(f"{gateway.url}/#/scenes/office")
    page.locator("epipar-viewer").evaluate("it => it.whenSettled()")
    page.get_by_role("button", name="Show details").click()
    page.get_by_role("button", name="Remove something").click()
    page.get_by_role("button", name="Remove what is in the box").click()
    expect(page.get_by_role("alert")).to_contain_text("The engine cannot run now")


def test_what_was_filled_is_shown_and_stands_in_the_address(
    gateway: ScriptedGateway, new_page: NewPage, pictures: Path
) -> None:
    page = new_page(reduced_motion="reduce")
    page.goto(f"{gateway.url}/#/scenes/office")
    page.locator("epipar-viewer").evaluate("it => it.whenSettled()")
    highlight = page.get_by_role("button", name="What was filled")
    # What the camera saw has nothing to highlight.
    expect(highlight).to_have_count(0)
    page.get_by_role("button", name="Fill missing regions").click()
    page.get_by_text("Find what is missing").wait_for()
    gateway.pull("release?job=jobs/fill34567abc&count=1000")
    page.get_by_role("slider", name="Before and after").wait_for()
    highlight.click()
    expect(page).to_have_url(re.compile(r"[?&]color=provenance(&|$)"))
    legend = page.locator(".legend")
    expect(legend).to_contain_text("Where points come from")
    expect(legend).to_contain_text("From another view")
    expect(legend).to_contain_text("83 %")
    expect(legend).not_to_contain_text("Painted")
    page.screenshot(path=pictures / "provenance.png")
    page.reload()
    expect(highlight).to_have_attribute("aria-pressed", "true")
    expect(page.locator("epipar-viewer.after")).to_have_js_property("colorMode", "provenance")


def test_keys_in_either_viewer_change_both_and_the_address(
    gateway: ScriptedGateway, new_page: NewPage
) -> None:
    page = new_page(reduced_motion="reduce")
    page.goto(f"{gateway.url}/#/scenes/office")
    page.get_by_role("button", name="Fill missing regions").click()
    page.get_by_text("Find what is missing").wait_for()
    gateway.pull("release?job=jobs/fill34567abc&count=1000")
    page.get_by_role("slider", name="Before and after").wait_for()
    page.locator("epipar-viewer.before canvas").focus()
    for key in "hc":
        page.keyboard.press(key)
    expect(page).to_have_url(re.compile(r"color=confidence&show=cameras"))
    # A page that renders again, as with each answer of the server, keeps them.
    page.evaluate("document.querySelector('ep-scene').requestUpdate()")
    page.evaluate("document.querySelector('ep-stage').updateComplete")
    for which in ("before", "after"):
        viewer = page.locator(f"epipar-viewer.{which}")
        expect(viewer).to_have_js_property("colorMode", "confidence")
        expect(viewer).to_have_js_property("showCameras", value=True)
