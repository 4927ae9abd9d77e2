"""Resumable uploads: the tus 1.0 protocol in front of plain folders."""

from __future__ import annotations
