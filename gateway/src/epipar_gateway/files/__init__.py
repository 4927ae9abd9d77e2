"""Artifacts over HTTP: ranges, validators, precompressed siblings."""

from __future__ import annotations
