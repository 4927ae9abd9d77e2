"""Renders the sample: a short clip of a reading nook with exact poses and depth maps."""

from __future__ import annotations
