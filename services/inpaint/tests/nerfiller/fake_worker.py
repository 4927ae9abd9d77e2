"""Stands for the worker's python: `fake_worker.py -m epipar_nerfiller JOB ...`; standard library only.

What it does is named by the job's setting "prompt"; it writes what the real one writes, by the
service's own library, so that the engine's side is tested against real files.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

arguments = sys.argv[1:]
job_path = Path(arguments[arguments.index("epipar_nerfiller") + 1])
job = json.loads(job_path.read_bytes())
act = job["settings"]["prompt"]
output, work = job_path.parent / job["output"], job_path.parent / job["work"]
parent = os.getppid()


def say(event: str, **values: object) -> None:
    sys.stdout.write(json.dumps({"event": event, "t_s": 0.0, **values}) + "\n")
    sys.stdout.flush()


def fail(kind: str, code: int, field: str = "") -> None:
    say("error", kind=kind, message=f"the fake says {kind}", field=field, exit_code=code)
    sys.exit(code)


say("loading")
if act == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
elif act.startswith("fail:"):
    _, kind, code, field = act.split(":")
    fail(kind, int(code), field)
elif act == "wait" and not (work / "checkpoint.pt").exists():
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: stopped.append(number))
    say("progress", stage="fit", done=1, total=10, unit="iterations")
    while not stopped and os.getppid() == parent:
        time.sleep(0.02)
    (work / "checkpoint.pt").write_text("half")
    fail("STOPPED", 6)
else:
    if act.startswith("hold:"):
        say("progress", stage="fit", done=1, total=10, unit="iterations")
        while not Path(act.removeprefix("hold:")).exists() and os.getppid() == parent:
            time.sleep(0.02)
    resumed = int((work / "checkpoint.pt").exists())
    say("progress", stage="fit", done=10, total=10, unit="iterations", losses={"psnr": 21.5})
    say("progress", stage="fill", done=5, total=10, unit="iterations", seconds_left=600.0)
    preview = output / "previews" / "update_00001.jpg"
    preview.parent.mkdir(exist_ok=True)
    preview.write_bytes(b"picture")
    say("preview", path=str(preview), update=0)
    sys.stdout.write("a stray print of a library\n")
    (output / "scene.json").write_text("{}")
    say(
        "result",
        filled={"free": 1, "diffusion": 2},
        stage_seconds={"fit": 1.5},
        metrics={},
        resumed_views=resumed,
    )
