"""Which failures of a call are waited out, which are tried again, and for how long."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from epipar_kit.errors import (
    EngineUnavailableError,
    EpiparError,
    LimitExceededError,
    NotReadyError,
)

BUSY_PAUSE_S = 0.5
"""Between two looks at an output that a dying call still holds."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of one step's patience.

    Attributes:
        max_attempts: calls that may end as UNAVAILABLE.
        first_s: pause after the first of them; doubles each time.
        max_pause_s: longest pause, also of one that the service asked for.
        total_s: from the first failure on, no further attempt begins after so long.
        busy_s: how long an output may be held by another call.
        slots_s: how long a service may have no room.
    """

    max_attempts: int = 12
    first_s: float = 0.5
    max_pause_s: float = 60.0
    total_s: float = 3600.0
    busy_s: float = 120.0
    slots_s: float = 3600.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}; it must be 1 or more")


@dataclass(slots=True)
class Patience:
    """What is left of a policy's bounds while one step is tried.

    Attributes:
        policy: the bounds.
        rng: source of jitter.
        failures: attempts that ended as UNAVAILABLE.
    """

    policy: RetryPolicy
    rng: random.Random
    failures: int = 0
    _since_s: dict[str, float] = field(default_factory=dict)

    def pause_before_same_attempt_s(self, error: EpiparError, time_s: float) -> float | None:
        """Return how long to wait until the same attempt may go on, None if it has failed.

        Right after a crash the old call may still hold the output, and direct callers may hold the
        service's slots: neither is a failure of this step.
        """
        if isinstance(error, NotReadyError) and error.reason == "OUTPUT_BUSY":
            return self._bounded(error.reason, self.policy.busy_s, BUSY_PAUSE_S, time_s)
        if isinstance(error, LimitExceededError) and error.reason == "TOO_MANY_REQUESTS":
            pause_s = min(error.retry_after_s or BUSY_PAUSE_S, self.policy.max_pause_s)
            return self._bounded(error.reason, self.policy.slots_s, pause_s, time_s)
        return None

    def pause_before_next_attempt_s(self, error: EpiparError, time_s: float) -> float | None:
        """Return how long to wait before another attempt, None if there is to be none."""
        if not is_worth_another_try(error):
            return None
        self.failures += 1
        if self.failures >= self.policy.max_attempts:
            return None
        asked_s = getattr(error, "retry_after_s", None) or 0.0
        backoff_s = self.policy.first_s * 2.0 ** (self.failures - 1)
        pause_s = min(max(backoff_s, asked_s), self.policy.max_pause_s)
        return self._bounded("UNAVAILABLE", self.policy.total_s, pause_s, time_s)

    def _bounded(self, cause: str, total_s: float, pause_s: float, time_s: float) -> float | None:
        since_s = self._since_s.setdefault(cause, time_s)
        if time_s - since_s >= total_s:
            return None
        # Jitter only ever adds: a service that named a time must not be asked before it.
        return pause_s * self.rng.uniform(1.0, 1.25)


def is_worth_another_try(error: EpiparError) -> bool:
    """Tell whether a failed call was UNAVAILABLE in a way that time may mend."""
    if not isinstance(error, EngineUnavailableError):
        return False
    # A service that is there and says so without a time to come back will say it again.
    return error.retry_after_s is not None
