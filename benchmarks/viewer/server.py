"""A static file server for the benchmark: precompressed siblings, and a line of bounded speed."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

TYPES = {
    "": "text/html",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
}
CHUNK = 16_384


@dataclass(slots=True)
class Line:
    """One line that all answers share.

    Attributes:
        bits_per_s: 0 is unbounded.
        delay_s: a round trip, paid once by every request.
    """

    bits_per_s: float = 0.0
    delay_s: float = 0.0
    _free_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, size: int) -> None:
        """Wait until so many bytes have gone over the line after all before them."""
        if not self.bits_per_s:
            return
        with self._lock:
            begin = max(time.monotonic(), self._free_at)
            self._free_at = begin + size * 8 / self.bits_per_s
            until = self._free_at
        time.sleep(max(0.0, until - time.monotonic()))


@contextlib.contextmanager
def serving(folders: dict[str, Path], line: Line) -> Iterator[str]:
    """Serve folders under prefixes on a free port of loopback; yield the origin."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            body, encoding = _body(folders, path, self.headers.get("Accept-Encoding", ""))
            time.sleep(line.delay_s)
            self.send_response(200 if body is not None else 404)
            body = body or b""
            self.send_header(
                "Content-Type", TYPES.get(Path(path).suffix, "application/octet-stream")
            )
            self.send_header("Content-Length", str(len(body)))
            if encoding:
                self.send_header("Content-Encoding", encoding)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                for at in range(0, len(body), CHUNK):
                    line.send(len(body[at : at + CHUNK]))
                    self.wfile.write(body[at : at + CHUNK])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # the base's name
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _body(folders: dict[str, Path], path: str, accepted: str) -> tuple[bytes | None, str]:
    if path == "/":
        return b"<!doctype html><title>Benchmark</title><body style='margin:0'>", ""
    for prefix, folder in folders.items():
        file = folder / path.removeprefix(prefix)
        if not path.startswith(prefix) or not file.is_file():
            continue
        packed = file.with_name(file.name + ".zst")
        if "zstd" in accepted and packed.is_file():
            return packed.read_bytes(), "zstd"
        return file.read_bytes(), ""
    return None, ""
