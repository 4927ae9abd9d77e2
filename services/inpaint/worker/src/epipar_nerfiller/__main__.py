"""``epipar-nerfiller JOB.json``: run one job, print its events as JSON lines, exit with a code.

Exit codes: 0 done, 1 a fault of this software, 2 wrong arguments, 3 bad input, 4 missing weights,
5 out of memory, 6 stopped (the checkpoint is written), 7 stalled, 8 bad checkpoint.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

from epipar_nerfiller.control import Control
from epipar_nerfiller.events import Events
from epipar_nerfiller.failures import StalledError, WorkerError
from epipar_nerfiller.job import Job


def main(arguments: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    parser = argparse.ArgumentParser(prog="epipar-nerfiller", description=__doc__)
    parser.add_argument("job", type=Path, help="job file, JSON")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    parser.add_argument(
        "--die-with-parent",
        type=int,
        metavar="PID",
        help="stop when the parent process is no longer this one",
    )
    options = parser.parse_args(arguments)
    events = Events.on_stdout()
    try:
        job = Job.read(options.job)
        control = Control(
            job.stop_file,
            stall_s=job.settings.stall_s,
            on_stall=lambda message: _tell(events, StalledError(message)),
            parent_pid=options.die_with_parent,
        )
        control.start()
        _run(job, events, control, options.device)
        control.end()
    except WorkerError as error:
        _tell(events, error)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the edge of the process
        traceback.print_exc()
        _tell(events, WorkerError(f"{type(error).__name__}: {error}"))
        return WorkerError.exit_code
    return 0


def _run(job: Job, events: Events, control: Control, device: str) -> None:
    events.send("loading")
    from epipar_nerfiller.runner import Runner  # torch and nerfstudio: seconds

    control.tick()
    Runner(job, events, control, device).run()


def _tell(events: Events, error: WorkerError) -> None:
    field = getattr(error, "field", "")
    events.send(
        "error", kind=error.kind, message=str(error), field=field, exit_code=error.exit_code
    )


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # native threads of torch and nerfstudio must not hold the process
