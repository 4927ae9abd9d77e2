"""The nerfiller worker on a scene with truth: seconds, memory, quality in holes."""

from __future__ import annotations
