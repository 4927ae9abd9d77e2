"""A job for the tests of make_output: writes numbered parts, then a manifest; can be made to stop."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from epipar_kit.errors import InvalidInputError, StorageFullError
from epipar_kit.work import Report, work_main


def _main(request: dict[str, Any], report: Report) -> dict[str, Any]:
    folder = Path(request["folder"])
    found = sorted(path.name for path in folder.glob("part_*"))
    for index in range(3):
        (folder / f"part_{index}").write_text(str(index))
        report("parts", index + 1, 3, "parts")
        if index == request.get("stop_after"):
            _stop(request["how"])
    manifest: dict[str, Any] = {"content_hash": request["content_hash"], "parts": 3}
    if place := os.environ.get("TRACEPARENT"):
        manifest["traceparent"] = place
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return {"found": found}


def _stop(how: str) -> None:
    if how == "refuse":
        raise InvalidInputError("BAD_OPTION", "how", "refused on purpose")
    if how == "full":
        raise StorageFullError("no room on purpose")
    while True:
        time.sleep(1000)


if __name__ == "__main__":
    work_main(_main)
