"""When a failed attempt is repeated, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass

from epipar_client.errors import EpiparError, UnavailableError

_NOT_PASSING = frozenset({"ENGINE_UNAVAILABLE"})
"""Reasons of UNAVAILABLE that a moment does not change: no GPU now is no GPU in a second."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Repeat calls on UNAVAILABLE alone, with exponential backoff and full jitter.

    Every call of the suite is idempotent: a repeat goes on from what the first one finished.

    Attributes:
        attempts: how often a call is tried in all, 1 to 100; 1 never repeats.
        base_s: longest wait before the second attempt; it doubles with each further one.
        max_s: longest wait of all. A service that asks for more (RetryInfo) is not waited for.

    Raises:
        ValueError: a value is out of its bounds.
    """

    attempts: int = 6
    base_s: float = 0.2
    max_s: float = 5.0

    def __post_init__(self) -> None:
        if not 1 <= self.attempts <= 100:
            raise ValueError(f"attempts is {self.attempts}; it must be 1 to 100")
        if not 0 <= self.base_s <= self.max_s:
            raise ValueError(f"base_s is {self.base_s}; it must be 0 to max_s ({self.max_s})")

    def delay_s(self, failed_attempts: int, error: EpiparError) -> float | None:
        """Return how long to wait before the next attempt; None to give up.

        Args:
            failed_attempts: how many have failed so far, this one included.
            error: why this one failed.
        """
        if not isinstance(error, UnavailableError) or error.reason in _NOT_PASSING:
            return None
        if failed_attempts >= self.attempts or (error.retry_after_s or 0.0) > self.max_s:
            return None
        longest = min(self.base_s * 2 ** (failed_attempts - 1), self.max_s)
        wait = random.uniform(0.0, longest)  # noqa: S311 - jitter, no secret
        return max(wait, error.retry_after_s or 0.0)
