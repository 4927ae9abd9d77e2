"""The child process that makes one completion: ``python -m epipar_inpaint.job``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from epipar_inpaint.completion import CompletionJob, MaskSetName, run_completion
from epipar_inpaint.engine import CompletionOptions, CompletionRequest
from epipar_kit.work import Report, work_main


def request_to_dict(job: CompletionJob) -> dict[str, Any]:
    """Return the job as JSON values for run_work."""
    request = job.request
    return {
        "scene": str(request.scene),
        "masks": str(request.masks),
        "output": str(request.output),
        "content_hash": request.content_hash,
        "intent": request.intent,
        "seed": request.options.seed,
        "painter": request.options.painter,
        "extra": dict(request.options.extra),
        "workers": request.workers,
        "engine": job.engine,
        "engine_version": job.engine_version,
        "mask_set": asdict(job.mask_set),
    }


def job_from_dict(values: dict[str, Any]) -> CompletionJob:
    """Read back what request_to_dict wrote."""
    request = CompletionRequest(
        Path(values["scene"]),
        Path(values["masks"]),
        Path(values["output"]),
        values["content_hash"],
        values["intent"],
        CompletionOptions(values["seed"], values["painter"], values["extra"]),
        values["workers"],
    )
    return CompletionJob(
        request, values["engine"], values["engine_version"], MaskSetName(**values["mask_set"])
    )


def handle(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Make one completion."""
    result = run_completion(job_from_dict(request), report)
    return {
        "filled": dict(result.filled),
        "stage_seconds": dict(result.stage_seconds),
        "resumed_views": result.resumed_views,
    }


if __name__ == "__main__":
    work_main(handle)
