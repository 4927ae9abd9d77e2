"""Have a running suite reconstruct a video: reconstruct.py VIDEO [ADDRESS]."""

from __future__ import annotations

import asyncio
import sys

from epipar_client import EpiparClient


async def main(video: str, address: str = "http://127.0.0.1:8080") -> None:
    """Upload, start a job, print its events, and tell where the scene can be seen."""
    async with EpiparClient(address) as client:
        upload = await client.upload(video)
        job = await client.start_reconstruction(upload.name)
        # Lost connections are taken up again; stop this, and the job goes on.
        async for event in client.watch_job(job.name):
            print(event.sequence, event.progress or event.job)
        await client.wait_for_job(job.name)  # raises what made it fail, where it did
        print(f"{address}/#/{job.scene}")


asyncio.run(main(*sys.argv[1:]))
