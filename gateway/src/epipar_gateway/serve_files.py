"""Show the viewer over a folder, without scenes, jobs and uploads: what ``epipar view`` starts.

Standard output carries exactly one line when it answers::

    {"event": "ready", "service": "files", "address": "127.0.0.1:41234", "url": …, "pid": 4711}
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from epipar_gateway.http_server import HttpServer
from epipar_gateway.web_app import make_files_app
from epipar_kit.errors import InvalidInputError, NotFoundError
from epipar_kit.folder_store import FolderStore
from epipar_kit.logs import configure_logs
from epipar_kit.settings import SettingsError, is_loopback

STOP_VARIABLE = "EPIPAR_FILES_STOP_ON_STDIN_EOF"
GRACE_S = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; return the exit status: 0 after a stop, 2 if it cannot run."""
    options = _parser().parse_args(arguments)
    configure_logs("info")
    try:
        _check(options)
        asyncio.run(_serve(options))
    except (SettingsError, NotFoundError, InvalidInputError) as error:
        sys.stderr.write(f"epipar-files: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="epipar-files", description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, required=True, help="folder whose files are shown")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--src", default="", help="key of the tileset or GLB that `url` opens")
    parser.add_argument("--web-dir", type=Path, help="the built viewer (default: the packaged one)")
    parser.add_argument(
        "--stop-on-stdin-eof",
        action="store_true",
        default=os.environ.get(STOP_VARIABLE, "").lower() in {"1", "true", "yes"},
        help=f"stop when standard input ends; also {STOP_VARIABLE}=true",
    )
    return parser


def _check(options: argparse.Namespace) -> None:
    if not options.root.is_dir():
        raise SettingsError(f"--root is {options.root}; it must be a folder")
    if not is_loopback(options.host):
        raise SettingsError(
            f"--host is {options.host}; it must be loopback: anybody else could read all of "
            f"{options.root}"
        )
    if options.src:
        FolderStore(options.root).local_path(options.src, field="--src")


async def _serve(options: argparse.Namespace) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    if options.stop_on_stdin_eof:
        threading.Thread(target=_stop_at_eof, name="stdin", daemon=True).start()
    app = make_files_app(options.root, options.web_dir)
    async with HttpServer(app, options.host, options.port, grace_s=GRACE_S) as server:
        url = f"http://{server.address}/"
        if options.src:
            url += f"#/view?src=/files/{quote(options.src)}"
        facts = {
            "event": "ready",
            "service": "files",
            "address": server.address,
            "url": url,
            "pid": os.getpid(),
        }
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        await asked.wait()


def _stop_at_eof() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
