"""How an export tells how far it is."""

from __future__ import annotations

from epipar_kit.events import Report


def silent(stage: str, done: int, total: int, unit: str, message: str = "") -> None:
    """Report to nobody."""


__all__ = ["Report", "silent"]
