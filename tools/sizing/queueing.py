"""How long one waits for one of several equal servers (M/M/c: Erlang's C).

Arrivals are independent of each other and service times exponential. Ours vary less than that, which
makes real waits shorter; bursts of one user make them longer.
Source: A. O. Allen, Probability, Statistics and Queueing Theory, 1990, section 5.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_SERVERS = 100_000
MOST_BUSY = 0.9
"""Fuller pools would keep the wait on paper, but not when a tenth more comes than was asked."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Servers and what they are asked.

    Attributes:
        arrivals_per_h: work that comes in an hour.
        service_h: hours that one piece takes.
        servers: how many are worked on at once.
    """

    arrivals_per_h: float
    service_h: float
    servers: int

    def __post_init__(self) -> None:
        if self.arrivals_per_h < 0 or self.service_h < 0 or self.servers < 1:
            raise ValueError(
                f"a pool has {self.arrivals_per_h} arrivals an hour of {self.service_h} h and "
                f"{self.servers} servers; it must have 0 or more, 0 or more, and 1 or more"
            )

    @property
    def load(self) -> float:
        """Servers that are busy on average (offered load, Erlang)."""
        return self.arrivals_per_h * self.service_h

    @property
    def utilisation(self) -> float:
        """Share of the time that a server is busy; at 1 or more the queue grows for ever."""
        return self.load / self.servers

    @property
    def waits(self) -> float:
        """Probability that a piece of work waits at all."""
        return erlang_c(self.load, self.servers)

    @property
    def mean_wait_h(self) -> float:
        """Hours that a piece of work waits on average."""
        if self.utilisation >= 1:
            return math.inf
        return self.waits * self.service_h / (self.servers - self.load)

    def wait_h(self, share: float) -> float:
        """Hours within which this share of the work has begun."""
        if self.utilisation >= 1:
            return math.inf
        late = 1 - share
        if self.waits <= late:
            return 0.0
        return math.log(self.waits / late) * self.service_h / (self.servers - self.load)


def erlang_c(load: float, servers: int) -> float:
    """Return the probability of waiting.

    Args:
        load: servers that are busy on average.
        servers: how many there are.
    """
    if load >= servers:
        return 1.0
    blocked = 1.0  # Erlang's B by its recursion: no factorial overflows
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def pool_for(arrivals_per_h: float, service_h: float, within_h: float, share: float = 0.95) -> Pool:
    """Return the smallest pool, MOST_BUSY at most, in which this share of the work begins in time.

    Raises:
        ValueError: no pool of up to MAX_SERVERS does.
    """
    least = max(1, math.floor(arrivals_per_h * service_h))
    for servers in range(least, MAX_SERVERS + 1):
        pool = Pool(arrivals_per_h, service_h, servers)
        if pool.utilisation <= MOST_BUSY and pool.wait_h(share) <= within_h:
            return pool
    raise ValueError(
        f"{arrivals_per_h:.0f} arrivals an hour of {service_h:.2f} h need more than {MAX_SERVERS} "
        "servers; ask for fewer"
    )
