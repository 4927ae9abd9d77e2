"""What is missing in a scene: holes in colour and holes in depth, frame by frame."""

from __future__ import annotations
