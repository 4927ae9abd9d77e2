"""Masks of what a scene lacks, and its completion."""

from __future__ import annotations
