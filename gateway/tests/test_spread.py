"""Calls of a service that has several addresses go to all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc

from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar_gateway.compute import ComputeServices


class _Named(depth_grpc.DepthServiceServicer):
    """A replica that says which one it is."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def Predict(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the contract's name
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "engines are listed here, no more")
        yield  # makes it a stream, as the contract has it

    async def ListEngines(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        engine = depth_pb.Engine(name=self._name, available=True)
        return depth_pb.ListEnginesResponse(engines=[engine])


@asynccontextmanager
async def _replica(name: str) -> AsyncIterator[str]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    depth_grpc.add_DepthServiceServicer_to_server(_Named(name), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def _asked(services: ComputeServices) -> str:
    engines = await services.engines("depth")
    return engines[0].name if engines else ""


async def test_every_replica_of_a_service_gets_calls():
    async with (
        _replica("one") as one,
        _replica("two") as two,
        ComputeServices({"depth": f"ipv4:{one},{two}"}) as services,
    ):
        seen: set[str] = set()
        async with asyncio.timeout(60):
            while len(seen) < 2:  # ends by itself only if calls are spread
                seen.add(await _asked(services))
        assert seen == {"one", "two"}


async def test_a_replica_that_is_gone_gets_none_and_hurts_nobody():
    async with _replica("one") as one:
        async with _replica("two") as two:
            services = ComputeServices({"depth": f"ipv4:{one},{two}"})
            await services.__aenter__()
            async with asyncio.timeout(60):
                while await _asked(services) != "two":
                    pass
        try:
            async with asyncio.timeout(60):
                while await _asked(services) != "one":
                    pass
            assert [await _asked(services) for _ in range(4)] == ["one"] * 4
        finally:
            await services.__aexit__(None, None, None)
