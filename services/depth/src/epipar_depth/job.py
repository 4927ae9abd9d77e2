"""One prediction as a job in a process of its own: ``python -m epipar_depth.job``."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from epipar_depth.engine import (
    DEFAULT_ENGINE,
    DepthRequest,
    DepthResult,
    Engine,
    KnownCamera,
    camera_from_json,
    options_from_json,
)
from epipar_depth.keep_source import keep_source
from epipar_kit.engines import DEPTH_ENGINES, load_engine
from epipar_kit.work import Report, work_main


def job_request(
    source: Path,
    output: Path,
    source_sha256: str,
    options: dict[str, Any],
    *,
    engine: str = DEFAULT_ENGINE,
    workers: int = 0,
    cameras: Sequence[KnownCamera] = (),
    model_host: Path | None = None,
) -> dict[str, Any]:
    """Return the JSON request that handle understands; options as dataclasses.asdict gives them."""
    return {
        "source": str(source),
        "output": str(output),
        "source_sha256": source_sha256,
        "options": options,
        "engine": engine,
        "workers": workers,
        "cameras": [camera.to_json() for camera in cameras],
        "model_host": str(model_host) if model_host else None,
    }


def result_from_json(values: dict[str, Any]) -> DepthResult:
    """Read back what handle returned."""
    return DepthResult(**{**values, "unregistered": tuple(values["unregistered"])})


def handle(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Run the request's engine; its result as JSON values."""
    engine: Engine = load_engine(DEPTH_ENGINES, str(request.get("engine", DEFAULT_ENGINE)))()
    source, output = Path(request["source"]), Path(request["output"])
    keep_source(source, output, report)
    result = engine.run(
        DepthRequest(
            source=source,
            output=output,
            source_sha256=str(request["source_sha256"]),
            options=options_from_json(request.get("options", {})),
            workers=int(request.get("workers", 0)),
            cameras=tuple(map(camera_from_json, request.get("cameras", []))),
            model_host=Path(host) if (host := request.get("model_host")) else None,
            decode_apart=bool(request.get("decode_apart", False)),
        ),
        report,
    )
    return {**asdict(result), "unregistered": list(result.unregistered)}


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    work_main(handle)
