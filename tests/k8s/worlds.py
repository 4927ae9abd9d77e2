"""Rendered overlays, each rendered once a process."""

from __future__ import annotations

from functools import cache

from tools.k8s_check.render import render_named
from tools.k8s_check.rendered import Rendered


@cache
def world(name: str) -> Rendered:
    """Return "overlay" or "overlay + component"; copy it before changing it."""
    return render_named(name)
