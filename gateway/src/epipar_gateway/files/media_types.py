"""Media types of what a scene holds; fixed here, since each machine's own table differs."""

from __future__ import annotations

from pathlib import PurePosixPath

from epipar_kit.artifacts import media_type_of

_MORE = {
    ".bin": "application/octet-stream",
    ".css": "text/css; charset=utf-8",
    ".drc": "application/octet-stream",
    ".ico": "image/vnd.microsoft.icon",
    ".js": "text/javascript; charset=utf-8",
    ".m4v": "video/x-m4v",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".zip": "application/zip",
}
_ACTIVE = frozenset({".css", ".htm", ".html", ".js", ".mjs", ".svg", ".xhtml", ".xml"})


def page_type(name: str) -> str:
    """Return the media type of a file of the viewer."""
    known = _MORE.get(PurePosixPath(name).suffix.lower())
    if known is not None:
        return known
    found = media_type_of(name)
    return f"{found}; charset=utf-8" if found.startswith("text/") else found


def artifact_type(name: str) -> str:
    """Return the media type of an artifact; what a browser would run is an octet stream."""
    if PurePosixPath(name).suffix.lower() in _ACTIVE:
        return "application/octet-stream"
    return page_type(name)
