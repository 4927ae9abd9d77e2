"""A hub on loopback: the part of the Hugging Face hub's HTTP interface by which files are fetched.

HEAD and GET of /REPO/resolve/REVISION/FILE with X-Repo-Commit, ETag, X-Linked-ETag and ranges, and
its errors (X-Error-Code). It keeps what it was asked, and can misbehave.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "c0ffee" + "0" * 34
_PATH = re.compile(r"/([\w.-]+/[\w.-]+)/resolve/([\w.-]+)/([\w.-]+)$")
_RANGE = re.compile(r"bytes=(\d+)-$")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: method, file, where its range begins, whether it brought a token."""

    method: str
    name: str
    start: int
    token: str


@dataclass
class FakeHub:
    """What the hub has, and how it fails.

    Attributes:
        repo: the one repository.
        files: by name; those over 1000 bytes count as large, whose ETag is their SHA-256.
        cut_after: it breaks large files off after so many bytes of an answer.
        is_down: it answers 503 to every GET of a large file.
        is_gated: it wants its terms accepted.
        lies: it sends other bytes than it announces.
        asked: what came, in order.
        endpoint: its address.
    """

    repo: str
    files: dict[str, bytes]
    cut_after: int = 0
    is_down: bool = False
    is_gated: bool = False
    lies: bool = False
    asked: list[Asked] = field(default_factory=list)
    endpoint: str = ""

    def fetched(self, name: str) -> list[int]:
        """Return where each GET of a file began."""
        return [one.start for one in self.asked if (one.method, one.name) == ("GET", name)]


@contextmanager
def serving_hub(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve it as long as the context lasts."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        found = _PATH.match(self.path)
        repo, revision, name = found.groups() if found else ("", "", self.path)
        begins = _RANGE.match(self.headers.get("Range", ""))
        start = int(begins[1]) if begins else 0
        token = self.headers.get("Authorization", "")
        self.hub.asked.append(Asked(self.command, name, start, token))
        if repo != self.hub.repo:
            self._refuse(404, "RepoNotFound")
        elif self.hub.is_gated and not token:
            self._refuse(403, "GatedRepo")
        elif revision not in {"main", COMMIT}:
            self._refuse(404, "RevisionNotFound")
        elif name not in self.hub.files:
            self._refuse(404, "EntryNotFound")
        else:
            self._give(self.hub.files[name], start, with_body)

    def _give(self, data: bytes, start: int, with_body: bool) -> None:
        is_large = len(data) > 1000
        if self.hub.is_down and is_large and with_body:
            self._refuse(503, "")
            return
        self.send_response(206 if start else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        if is_large:
            self.send_header("ETag", '"another-name"')
            self.send_header("X-Linked-ETag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(data)))
        else:
            self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')  # noqa: S324 - git's
        self.end_headers()
        if not with_body:
            return
        sent = data[start:]
        if self.hub.lies and is_large:
            sent = bytes(len(sent))
        if self.hub.cut_after and is_large:
            self.wfile.write(sent[: self.hub.cut_after])
            self.wfile.flush()
            self.hub.is_down = True
            self.close_connection = True
        else:
            self.wfile.write(sent)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
        """Keep silent."""
