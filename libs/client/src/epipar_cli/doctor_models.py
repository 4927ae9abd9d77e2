"""The part of `epipar doctor` about models: engine da3, weights and licences, and the GPU."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from epipar_cli.doctor_checks import Check, output_of
from epipar_cli.models import describe_engine, describe_models


async def check_models(gpu: Check) -> list[Check]:
    """Weights that are here, and their licences; no model is needed, as mvs has none."""
    engine, found = await describe_engine(), await describe_models()
    checks = [check_engine(engine, gpu)] if engine is not None else []
    for model in found:
        name, licence = f"model {model['model']}", str(model["licence"])
        if model["state"] == "unpinned":
            way_out = f"epipar models pull {model['model']}"
            checks.append(Check(name, "warn", f"{licence}, not pinned yet", way_out))
        else:
            checks.append(Check(name, "ok", f"{licence}, {model['folder']}"))
    if not found:
        checks.append(Check("models", "ok", "none; the engine mvs needs none"))
    return checks


def check_engine(engine: Mapping[str, Any], gpu: Check) -> Check:
    """The engine da3 can run, and its torch can use the GPU that there is."""
    name, python = "engine da3", engine["python"]
    if engine["missing"]:
        lacks = f"cannot run: {python} lacks {', '.join(engine['missing'])}"
        return Check(name, "ok", f"{lacks}; docs/da3.md tells how to install it")
    torch = str(engine.get("torch", ""))
    runs = f"can run ({python}, torch {torch or 'of unknown version'})"
    has_gpu = gpu.status == "ok" and not gpu.detail.startswith("none")
    if has_gpu and torch.endswith("+cpu"):
        way_out = "install torch with CUDA there (pytorch.org tells the line for your driver)"
        return Check(name, "warn", f"{runs} cannot use the GPU", way_out)
    return Check(name, "ok", runs)


async def check_gpu() -> Check:
    """Which GPU there is, by nvidia-smi; the default engine needs none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Check("gpu", "ok", "none; the engine mvs needs none")
    query = ("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    status, text = await output_of(program, *query)
    if status != 0:
        way_out = "look after the driver"
        return Check("gpu", "warn", text or "nvidia-smi does not answer", way_out)
    return Check("gpu", "ok", text)
