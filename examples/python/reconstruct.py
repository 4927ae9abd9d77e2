"""Reconstruct a video that is in the store: reconstruct.py INPUT_KEY SCENE_KEY [HOST:PORT]."""

from __future__ import annotations

import asyncio
import sys

from epipar_client import EpiparClient


async def main(source: str, scene: str, address: str = "127.0.0.1:50051") -> None:
    """Print every event: progress, and the result last."""
    async with EpiparClient(depth=address) as client:
        async for event in client.reconstruct(source, scene):
            print(event)


asyncio.run(main(*sys.argv[1:]))
