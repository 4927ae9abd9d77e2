"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from tools.k8s_check.rendered import Rendered


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault.

    Attributes:
        rule: name of what is broken, such as "service-selects-nothing".
        subject: "Kind/name" of the object.
        message: the value seen and the value wanted.
    """

    rule: str
    subject: str
    message: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.subject}: {self.message} [{self.rule}]"


Check: TypeAlias = Callable[[Rendered], Iterable[Finding]]
