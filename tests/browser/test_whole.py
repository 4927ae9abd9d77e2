"""A person, a browser, a whole suite: a video dropped on the page becomes a scene, whoever dies."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from epipar_client import EpiparClient, Job
from tests.browser.conftest import PHONE, NewPage
from tests.clips import write_video
from tests.processes import Suite

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG_MS = 300_000
COUNT_EVENTS = """
window.addEventListener('epipar-job-event', (event) => {
  const known = JSON.parse(sessionStorage.getItem('test.events') ?? '[]');
  known.push(event.detail.sequence);
  sessionStorage.setItem('test.events', JSON.stringify(known));
});
"""
VIEWER = "epipar-viewer"


@pytest.fixture(scope="module")
def small_clip(sample_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of ten small frames of the sample."""
    capture = cv2.VideoCapture(str(sample_clip))
    frames = []
    while True:
        more, frame = capture.read()
        if not more:
            break
        frames.append(cv2.resize(frame, (320, 240), interpolation=cv2.INTER_AREA))
    return write_video(tmp_path_factory.mktemp("clip") / "corner.mp4", frames[::6])


@pytest.fixture
def page(suite: Suite, new_page: NewPage) -> Iterator[Page]:
    """Return a page on the suite's address whose script errors fail the test."""
    page = new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.set_default_timeout(LONG_MS)
    yield page
    assert faults == []


def newest_job(suite: Suite) -> Job:
    """Ask the suite for the newest job."""

    async def ask() -> Job:
        async with EpiparClient(suite.address) as client:
            return await anext(client.list_jobs())

    # Playwright runs an event loop in this thread.
    with ThreadPoolExecutor(1) as elsewhere:
        return elsewhere.submit(lambda: asyncio.run(ask())).result()


def events(page: Page) -> list[int]:
    """Return the sequences of the events that the page was given, over all its reloads."""
    found: list[int] = page.evaluate("JSON.parse(sessionStorage.getItem('test.events') ?? '[]')")
    return found


def drawn(page: Page) -> np.ndarray:
    """Return the pixels of the canvas as the element's own screenshot has them, (H, W, 3)."""
    data = page.locator(VIEWER).first.evaluate(
        """async (viewer) => {
          await viewer.whenSettled();
          const blob = await viewer.screenshot();
          return [...new Uint8Array(await blob.arrayBuffer())];
        }"""
    )
    return np.asarray(Image.open(io.BytesIO(bytes(data))).convert("RGB"))


def test_a_video_becomes_a_scene_though_every_part_dies_and_the_page_is_reloaded(
    suite: Suite, page: Page, small_clip: Path, pictures: Path
) -> None:
    page.add_init_script(COUNT_EVENTS)
    page.goto(suite.address)
    page.locator('input[type="file"]').first.set_input_files(small_clip)
    page.get_by_role("link", name="Watch the job").click()
    while not events(page):
        page.wait_for_timeout(100)
    for part in ("envoy", "gateway", "depth"):
        suite.kill(part)
        suite.wait_for("service_restarted", service=part)
    page.screenshot(path=pictures / "running.png")
    page.reload()
    page.get_by_role("link", name="Open the scene").click()
    page.locator(VIEWER).first.wait_for()
    pixels = drawn(page)
    page.screenshot(path=pictures / "finished.png")
    job = newest_job(suite)
    assert job.state == "succeeded"
    sequences = events(page)
    assert sequences == list(range(sequences[0], job.last_sequence + 1))
    background = pixels[0, 0].astype(int)
    shown = (np.abs(pixels.astype(int) - background) > 12).any(axis=2)
    assert shown.mean() > 0.15
    truth = cv2.cvtColor(cv2.VideoCapture(str(small_clip)).read()[1], cv2.COLOR_BGR2RGB)
    assert np.abs(pixels[shown].mean(axis=0) - truth.mean(axis=(0, 1))).max() < 40


def test_the_scene_is_there_for_a_phone(suite: Suite, new_page: NewPage, pictures: Path) -> None:
    page = new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    page.set_default_timeout(LONG_MS)
    page.goto(suite.address)
    page.get_by_role("link", name="corner").first.click()
    pixels = drawn(page)
    page.screenshot(path=pictures / "phone.png")
    assert pixels.std() > 10
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_file_that_is_no_video_is_refused_in_words(
    suite: Suite, page: Page, tmp_path: Path, pictures: Path
) -> None:
    fake = tmp_path / "holiday.mp4"
    fake.write_bytes(b"this is no video" * 1000)
    page.goto(suite.address)
    page.locator('input[type="file"]').first.set_input_files(fake)
    expect(page.get_by_text("The video cannot be read").first).to_be_visible()
    page.screenshot(path=pictures / "refused.png")
