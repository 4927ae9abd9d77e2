"""What can end a run early, each with the exit code that the caller of the process sees.

* WorkerError                  base; 1 is also the code of a fault of this software
  - BadInputError        3     the job, the scene or the masks are not what they must be
  - MissingWeightsError  4     a model is not on this machine, or is not the one that was pinned
  - OutOfMemoryError     5     also the smaller batches did not fit
  - StoppedError         6     a stop was asked for; the checkpoint is written
  - StalledError         7     nothing moved for longer than the watchdog allows
  - BadCheckpointError   8     a checkpoint is damaged or belongs to another job
"""

from __future__ import annotations

from typing import ClassVar


class WorkerError(Exception):
    """Base: the message is for the person who can do something about it."""

    kind: ClassVar[str] = "INTERNAL"
    exit_code: ClassVar[int] = 1


class BadInputError(WorkerError):
    """The job can never succeed as it is; ``field`` names the part at fault."""

    kind = "BAD_INPUT"
    exit_code = 3

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class MissingWeightsError(WorkerError):
    """A model must be brought to this machine first."""

    kind = "WEIGHTS_MISSING"
    exit_code = 4


class OutOfMemoryError(WorkerError):
    """The device has too little memory, also for the smallest batches."""

    kind = "OUT_OF_MEMORY"
    exit_code = 5


class StoppedError(WorkerError):
    """A stop was asked for. Not a failure: the run goes on from its checkpoint."""

    kind = "STOPPED"
    exit_code = 6


class StalledError(WorkerError):
    """Nothing moved for too long."""

    kind = "STALLED"
    exit_code = 7


class BadCheckpointError(WorkerError):
    """A checkpoint cannot be gone on from."""

    kind = "BAD_CHECKPOINT"
    exit_code = 8
