"""Fixtures for tests in a real browser: headless Chromium driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    "--no-sandbox",  # tests often run as root in a container
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",  # WebGL without a GPU
)
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

NewPage = Callable[..., Page]


def find_chromium() -> str | None:
    """Return the path of a Chromium, None where there is none."""
    given = os.environ.get("EPIPAR_CHROMIUM")
    return given or next((path for name in NAMES if (path := shutil.which(name))), None)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run one headless Chromium for the tests of a file, or skip.

    Not for longer: while Playwright runs, its event loop is the thread's, and no test of asyncio
    can run in this process.
    """
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium: install the package chromium, or set EPIPAR_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium: Browser) -> Iterator[NewPage]:
    """Return a function that opens a page in a fresh context (no storage, no cache).

    Its keywords are those of `browser.new_context`, for example `viewport=PHONE`,
    `color_scheme="dark"`, `has_touch=True`.
    """
    contexts: list[BrowserContext] = []

    def make(**options: object) -> Page:
        context = chromium.new_context(**{"viewport": DESKTOP, **options})  # type: ignore[arg-type] # passed on as they are
        contexts.append(context)
        page = context.new_page()
        # File dialogs are caught from the first: a wait for one that only begins to catch them
        # with the key that opens it comes too late on a busy machine, and Chromium cancels it.
        page.on("filechooser", lambda _: None)
        return page

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the folder for this test's screenshots; EPIPAR_PICTURES keeps them."""
    kept = os.environ.get("EPIPAR_PICTURES")
    folder = Path(kept) if kept else tmp_path / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
