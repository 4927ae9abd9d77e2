"""The fakes as processes: they stand in for `python -m epipar_depth` and the other parts."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from aiohttp import web

from .fake_gateway import FakeGateway
from .fake_http import FakeDoor, FakeHttp
from .fake_inpaint import FakeInpaint
from .fake_suite import FakeDepth, FakeExport, new_server

Stop = Callable[[], Awaitable[object]]


async def serve_process(part: str) -> None:
    """Serve as a process: settings from the environment, ready line, stop on SIGTERM or EOF."""
    prefix = f"EPIPAR_{part.upper()}_"
    if f"{part} refuses to start" in os.environ.get("FAKE_MOOD", ""):
        sys.stderr.write(f"{prefix}NONSENSE is no setting of this service\n")
        raise SystemExit(2)
    if pids := os.environ.get("FAKE_PIDS"):
        Path(pids, f"{os.getpid()}").touch()  # noqa: ASYNC240 - nobody is served yet
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    if os.environ.get(f"{prefix}STOP_ON_STDIN_EOF") == "true":
        loop.add_reader(0, lambda: stop.set() if not os.read(0, 4096) else None)
    host, port = os.environ[f"{prefix}HOST"], int(os.environ[f"{prefix}PORT"])
    if part == "envoy":
        facts, end = await serve_door(host, port)
    elif part == "files":
        facts, end = await serve_files(Path(sys.argv[sys.argv.index("--root") + 1]))
    else:
        store = Path(unquote(urlsplit(os.environ["EPIPAR_STORE_URL"]).path))
        facts, end = await serve_part(part, store, host, port)
    ready = {"event": "ready", "service": part, "pid": os.getpid(), **facts}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    sys.stderr.write(f"{part} serves\n")
    await stop.wait()
    if "stubborn" in os.environ.get("FAKE_MOOD", ""):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        await asyncio.Event().wait()
    await end()
    sys.stderr.write(f"{part} ends\n")
    if ends := os.environ.get("FAKE_ENDS"):
        with Path(ends).open("a") as file:  # noqa: ASYNC230 - nobody is served any more
            file.write(f"{part}\n")


async def serve_part(part: str, store: Path, host: str, port: int) -> tuple[dict[str, str], Stop]:
    """Serve one gRPC service; the gateway has all, since the fake door cannot tell them apart."""
    gateway = part == "gateway"
    others = [FakeInpaint(store).add_to] if part in {"inpaint", "gateway"} else []
    if gateway:
        others.append(FakeGateway(store).add_to)
    server = new_server(
        FakeDepth(store) if part == "depth" or gateway else None,
        FakeExport(store) if part == "export" or gateway else None,
        *others,
    )
    bound = server.add_insecure_port(f"{host}:{port}")
    await server.start()
    facts = {"address": f"{host}:{bound}"}
    if not gateway:
        return facts, lambda: server.stop(0.2)
    http_port = int(os.environ["EPIPAR_GATEWAY_HTTP_PORT"])
    runner = web.AppRunner(FakeHttp(store).app())
    await runner.setup()
    site = web.TCPSite(runner, host, http_port)
    await site.start()
    facts["http_address"] = f"{host}:{runner.addresses[0][1]}"

    async def end() -> None:
        await server.stop(0.2)
        await runner.cleanup()

    return facts, end


async def serve_files(root: Path) -> tuple[dict[str, str], Stop]:
    """Serve a folder on a free port."""
    runner = web.AppRunner(FakeHttp(root).app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return {"address": f"127.0.0.1:{runner.addresses[0][1]}"}, runner.cleanup


async def serve_door(host: str, port: int) -> tuple[dict[str, str], Stop]:
    """Serve the public port."""
    door = FakeDoor(
        os.environ["EPIPAR_ENVOY_GATEWAY_ADDRESS"], os.environ["EPIPAR_ENVOY_GATEWAY_HTTP_ADDRESS"]
    )
    await door.start(host, port)
    return {"address": door.address}, door.stop


if __name__ == "__main__":
    asyncio.run(serve_process(sys.argv[1]))
