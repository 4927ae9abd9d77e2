"""Watchers that note when each tick reached them: by gRPC, and by gRPC-Web as a browser does."""

from __future__ import annotations

import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc

Ticks = dict[int, float]
"""Milliseconds from the service to the watcher, by sequence."""

OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
_TRAILER = 0x80


async def watch(address: str, job: str) -> Ticks:
    """Watch a job over gRPC to its end."""
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        return await watch_over(channel, job)


async def watch_over(channel: grpc.aio.Channel, job: str) -> Ticks:
    """Watch a job over an open channel to its end."""
    stub = pb_grpc.JobServiceStub(channel)
    return await _ticks(stub.WatchJob(pb.WatchJobRequest(name=job)))


async def watch_web(address: str, job: str) -> Ticks:
    """Watch a job over gRPC-Web to its end."""
    return await _ticks(_web_events(address, job))


async def _ticks(events: Any) -> Ticks:
    ticks: Ticks = {}
    async for event in events:
        if sent_ns := event.progress.progress.message:
            ticks[event.sequence] = (time.time_ns() - int(sent_ns)) / 1e6
    return ticks


async def _web_events(address: str, job: str) -> AsyncIterator[pb.WatchJobResponse]:
    request = pb.WatchJobRequest(name=job).SerializeToString()
    body = struct.pack(">BI", 0, len(request)) + request
    url = f"http://{address}/epipar.scene.v1.JobService/WatchJob"
    headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session,
        session.post(url, data=body, headers=headers) as answer,
    ):
        answer.raise_for_status()
        while True:
            flags, size = struct.unpack(">BI", await answer.content.readexactly(5))
            data = await answer.content.readexactly(size)
            if flags & _TRAILER:
                return
            yield pb.WatchJobResponse.FromString(data)
