"""What the gateway's streams cost, directly and through Envoy."""

from __future__ import annotations
