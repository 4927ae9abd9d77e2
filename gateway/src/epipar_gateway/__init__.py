"""The gateway of a suite: scenes, durable jobs, uploads, files and the viewer."""

from __future__ import annotations
