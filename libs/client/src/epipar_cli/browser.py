"""Opening a page in this machine's browser, where there is one."""

from __future__ import annotations

import threading
import webbrowser


def open_page(url: str) -> None:
    """Ask the browser to show a page; that none can is no failure, the address was printed."""
    # Some browsers, those of a text terminal among them, keep their caller waiting.
    threading.Thread(target=webbrowser.open, args=(url,), name="browser", daemon=True).start()
