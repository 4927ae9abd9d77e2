"""The child process of one export: ``python -m epipar_export.job``, started by epipar_kit.work."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from epipar_export.exporter import ExportRequest, ExportResult, export_scene
from epipar_export.manifest import ExportedFile, Level
from epipar_export.options import options_from_dict
from epipar_export.progress import Report
from epipar_export.surface.pipeline import SurfaceLevel
from epipar_export.warming import compile_ahead
from epipar_kit.work import work_main


def request_to_dict(request: ExportRequest) -> dict[str, Any]:
    """Return the request as JSON values for run_work."""
    return {
        "scene_dir": str(request.scene_dir),
        "output_dir": str(request.output_dir),
        "options": request.options.to_dict(),
        "threads": request.threads,
    }


def result_from_dict(values: dict[str, Any]) -> ExportResult:
    """Rebuild the result from the ResultEvent of a job."""
    values = dict(values)
    values["levels"] = tuple(Level(**level) for level in values["levels"])
    values["artifacts"] = tuple(ExportedFile(**file) for file in values["artifacts"])
    values["notes"] = tuple(values["notes"])
    values["surface_levels"] = tuple(SurfaceLevel(**level) for level in values["surface_levels"])
    return ExportResult(**values)


def handle(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Run one export; see request_to_dict and result_from_dict."""
    options = options_from_dict(request["options"])
    compile_ahead(options.geometry)
    result = export_scene(
        ExportRequest(
            Path(request["scene_dir"]),
            Path(request["output_dir"]),
            options,
            int(request["threads"]),
        ),
        report,
    )
    return asdict(result)


if __name__ == "__main__":
    work_main(handle)
