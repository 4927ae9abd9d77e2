"""Engines that run NeRFiller in an environment of its own: ours, and the published one."""

from __future__ import annotations
