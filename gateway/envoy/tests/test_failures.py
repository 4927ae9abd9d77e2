"""Services that fail behind the door: what is repeated, and what callers are told."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc

from .doors import JOBS, door


class Flaky:
    """Answers UNAVAILABLE twice, without having said anything before."""

    def __init__(self) -> None:
        self.calls = 0

    async def answer(self, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        self.calls += 1
        if self.calls < 3:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        return pb.ListJobsResponse()


@asynccontextmanager
async def plain_server(flaky: Flaky) -> AsyncIterator[str]:
    server = grpc.aio.server()
    health = HealthServicer()
    await health.set(JOBS, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    handler = grpc.unary_unary_rpc_method_handler(
        flaky.answer,
        request_deserializer=pb.ListJobsRequest.FromString,
        response_serializer=pb.ListJobsResponse.SerializeToString,
    )
    methods = {"ListJobs": handler, "CancelJob": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(JOBS, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


async def test_a_read_is_repeated_and_a_change_is_not(tmp_path: Path) -> None:
    flaky = Flaky()
    async with plain_server(flaky) as address, door(tmp_path, gateway_address=address) as at:
        async with at.channel() as channel:
            jobs = pb_grpc.JobServiceStub(channel)
            await jobs.ListJobs(pb.ListJobsRequest())
            assert flaky.calls == 3
            flaky.calls = 0
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await jobs.CancelJob(pb.CancelJobRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert flaky.calls == 1


async def test_a_service_that_is_down_is_unavailable_and_the_rest_goes_on(tmp_path: Path) -> None:
    async with door(tmp_path, gateway_address="127.0.0.1:1") as at:
        async with at.channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pb_grpc.JobServiceStub(channel).GetJob(pb.GetJobRequest())
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert (await at.ask("GET", "/files/scenes/none")).status == 404


async def test_a_service_that_comes_up_later_is_found(tmp_path: Path) -> None:
    flaky = Flaky()
    flaky.calls = 2
    async with plain_server(flaky) as address:
        pass  # now its port is known, and free again
    async with door(tmp_path, gateway_address=address) as at:
        server = grpc.aio.server()
        health = HealthServicer()
        await health.set(JOBS, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        server.add_insecure_port(address)
        await server.start()
        while "gateway::127.0.0.1" not in (page := await at.admin("/clusters")) or (
            "health_flags::healthy" not in line_of(page)
        ):
            pass
        async with at.channel() as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await pb_grpc.JobServiceStub(channel).GetJob(pb.GetJobRequest())
        # The new server has no such method: the answer is its own, not Envoy's.
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        await server.stop(0)


def line_of(page: str) -> str:
    return next(
        line
        for line in page.splitlines()
        if line.startswith("gateway::") and "health_flags" in line
    )


async def test_too_many_requests_are_refused_as_exhausted(tmp_path: Path) -> None:
    async with door(tmp_path, rate_per_s=1) as at:
        async with at.channel() as channel:
            jobs = pb_grpc.JobServiceStub(channel)
            codes = []
            for _ in range(6):
                try:
                    await jobs.GetJob(pb.GetJobRequest(name="jobs/a"))
                    codes.append(grpc.StatusCode.OK)
                except grpc.aio.AioRpcError as error:
                    codes.append(error.code())
        assert codes[0] is grpc.StatusCode.OK
        assert grpc.StatusCode.RESOURCE_EXHAUSTED in codes


async def test_the_counters_have_a_page_of_their_own_where_that_is_set(tmp_path: Path) -> None:
    ports = []
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    admin, metrics = ports
    async with door(tmp_path, admin_port=admin, metrics_port=metrics) as at:
        base = f"http://127.0.0.1:{metrics}"
        for path in ("/metrics", "/stats/prometheus"):
            async with at.session.get(base + path) as answer:
                assert (answer.status, "envoy_" in await answer.text()) == (200, True)
        for path in ("/quitquitquit", "/config_dump", "/", "/metrics/../config_dump"):
            async with at.session.post(base + path) as answer:
                assert answer.status == 404
