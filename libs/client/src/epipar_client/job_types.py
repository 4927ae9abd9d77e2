"""Jobs and their events, as the gateway keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from epipar_client.types import Artifact, Progress

JobKind: TypeAlias = Literal["unspecified", "reconstruction", "export", "completion"]
JobState: TypeAlias = Literal[
    "unspecified", "queued", "running", "succeeded", "failed", "cancelled"
]
TERMINAL_STATES: frozenset[JobState] = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job or an attempt failed: a name of ErrorReason, words for a person, facts."""

    reason: str
    message: str
    metadata: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a step; `number` is 1 for the first."""

    number: int
    start_time: datetime | None
    end_time: datetime | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a compute service inside a job.

    Attributes:
        name: for example "depth".
        state: how far it is.
        progress: its last progress, where there is one.
        attempts: calls made so far, the running one included.
        remaining_s: estimated seconds left; 0 where that is not known.
    """

    name: str
    state: JobState
    progress: Progress | None
    attempts: tuple[Attempt, ...]
    remaining_s: float


@dataclass(frozen=True, slots=True)
class Job:
    """One durable piece of work.

    Attributes:
        name: resource name, "jobs/{job}".
        scene: the scene it works on, "scenes/{scene}".
        kind: what it does.
        state: how far it is.
        priority: 0 to 100; among waiting jobs the higher goes first.
        create_time: when it was queued.
        start_time: when it began to run.
        end_time: when it ended.
        steps: its steps in order.
        last_sequence: sequence of its last stored event.
        failure: why it failed, where it did.
        artifacts: what it made.
    """

    name: str
    scene: str
    kind: JobKind
    state: JobState
    priority: int
    create_time: datetime | None
    start_time: datetime | None
    end_time: datetime | None
    steps: tuple[Step, ...]
    last_sequence: int
    failure: Failure | None
    artifacts: tuple[Artifact, ...]

    @property
    def ended(self) -> bool:
        """True once nothing more will happen to it."""
        return self.state in TERMINAL_STATES


@dataclass(frozen=True, slots=True)
class StepProgress:
    """A step went on; `remaining_s` is the job's, 0 where that is not known."""

    step: str
    progress: Progress
    remaining_s: float


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One stored event of a job: the job as it was then, or progress of one of its steps.

    Attributes:
        sequence: 1, 2, 3... without gaps.
        time: when it happened.
        job: the job, where it changed; None for progress.
        progress: the progress; None where the job changed. Both are None for an event of a later
            version of the service.
    """

    sequence: int
    time: datetime | None
    job: Job | None
    progress: StepProgress | None
