"""The public door of a suite: Envoy, its configuration and its program."""

from __future__ import annotations
