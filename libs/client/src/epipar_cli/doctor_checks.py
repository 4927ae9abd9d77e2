"""What all checks of `epipar doctor` share: how one is told, and asking a program."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One line: what was looked at, how it stands, and the way out where it is not well."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    way_out: str = ""


async def output_of(program: str, *arguments: str) -> tuple[int, str]:
    """Run a program; return its exit status, -1 where it does not end, and what it says."""
    child = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(20):
            output, _ = await child.communicate()
    except TimeoutError:
        child.kill()
        return -1, ""
    finally:
        status = await child.wait()
    return status, " | ".join(output.decode(errors="replace").strip().splitlines())[:200]
