"""The child process that makes one mask set: ``python -m epipar_inpaint.masks.job``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2

from epipar_inpaint.masks.maker import MaskRequest, UserMasks, make_masks
from epipar_inpaint.masks.options import options_from_dict
from epipar_kit.work import Report, work_main


def request_to_dict(request: MaskRequest) -> dict[str, Any]:
    """Return the request as JSON values for run_work."""
    painted = request.user_masks
    return {
        "scene": str(request.scene),
        "output": str(request.output),
        "content_hash": request.content_hash,
        "options": request.options.to_dict(),
        "user_masks": None if painted is None else {**asdict(painted), "path": str(painted.path)},
        "threads": request.threads,
    }


def request_from_dict(values: dict[str, Any]) -> MaskRequest:
    """Read back what request_to_dict wrote."""
    painted = values["user_masks"]
    return MaskRequest(
        Path(values["scene"]),
        Path(values["output"]),
        values["content_hash"],
        options_from_dict(values["options"]),
        None if painted is None else UserMasks(**{**painted, "path": Path(painted["path"])}),
        values["threads"],
    )


def handle(request: dict[str, Any], report: Report) -> dict[str, Any]:
    """Make one mask set."""
    cv2.setNumThreads(1)  # work is spread over frames
    return asdict(make_masks(request_from_dict(request), report))


if __name__ == "__main__":
    work_main(handle)
