"""`epipar models`: which models of the engine "da3" are here, fetched, and whole."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from epipar_cli.output import Reporter
from epipar_cli.services import DEPTH
from epipar_client import EpiparError, UnavailableError
from epipar_client.errors import error_from_reason

_MODULE = "epipar_depth.da3.models"


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """List, pull or verify models as the command line says, and report each.

    Raises:
        UnavailableError: the depth service is not installed here.
        EpiparError: a model is not here, not accepted or not whole.
    """
    accepted = arguments.accept_licence
    more = ("--accept-licence", accepted) if accepted else ()
    found = await ask(arguments.action, *arguments.models, *more)
    failed = [model for model in found if "error" in model]
    models = [model for model in found if "error" not in model]
    text = "\n".join(map(_line, models)) or "no model is here; epipar models list shows which are"
    if failed:
        if models:
            reporter.event("models", text, {"models": models})
        raise error_from_reason(
            str(failed[0]["error"]["reason"]),
            "; ".join(str(model["error"]["message"]) for model in failed),
        )
    reporter.result(text, {"kind": "models", "models": models})


async def ask(*arguments: str) -> list[dict[str, Any]]:
    """Run the depth service's own command and return what it says of each model.

    Raises:
        UnavailableError: the depth service is not installed here, or says nothing.
    """
    if find_spec(DEPTH.module) is None:
        raise UnavailableError(
            f"models belong to the depth service; pip install {DEPTH.distribution}",
            reason="UNAVAILABLE",
        )
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", _MODULE, *arguments), stdout=asyncio.subprocess.PIPE
    )
    try:
        output, _ = await child.communicate()
    except asyncio.CancelledError:
        child.terminate()
        await child.wait()
        raise
    try:
        found = [json.loads(line) for line in output.splitlines()]
    except ValueError:
        found = []
    if child.returncode and not found:
        raise UnavailableError(
            f"python -m {_MODULE} ended with {child.returncode} and no answer", reason="UNAVAILABLE"
        )
    return found


async def describe_models() -> Sequence[Mapping[str, Any]]:
    """Return the models that are here; none where that cannot be told."""
    try:
        found = await ask("list")
    except (EpiparError, OSError):
        return ()
    return [model for model in found if model.get("state") in {"ready", "unpinned"}]


async def describe_engine() -> Mapping[str, Any] | None:
    """Return which interpreter runs models and what it lacks; None where that cannot be told."""
    try:
        found = await ask("engine")
    except (EpiparError, OSError):
        return None
    return found[0] if found and "missing" in found[0] else None


def _line(model: Mapping[str, Any]) -> str:
    does = [name for name in ("views", "poses", "metric", "sky") if model[name]]
    return (
        f"{model['state']:<9} {model['model']:<22} {model['licence']:<13} "
        f"{model['base_mib']:>5} + {model['image_mib']:>4} MiB/image  {', '.join(does):<22} "
        f"{model['sha256'][:12] or model['summary']}"
    )
