"""The server as its clients see it, over real channels."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from epipar_kit.errors import InvalidInputError
from epipar_kit.metrics import ServerMetrics
from epipar_kit.server import Program, Server, serve
from epipar_kit.settings import ServerSettings, SettingsError
from epipar_kit.testing import reason_of, serving
from epipar_kit.wire import error_from_call

from .echo_service import CALLS, ENV, HELLO, NAME, EchoServicer, echo_service, is_gone, method

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def value_of(metrics: ServerMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize("shape", CALLS)
async def test_every_shape_of_call_passes(shape: str) -> None:
    wanted = {
        "unary_unary": ["a"],
        "unary_stream": ["a", "a"],
        "unary_stream_writer": ["a"],
        "stream_unary": ["a b"],
        "stream_stream": ["a", "b"],
    }
    async with serving([echo_service(EchoServicer())]) as channel:
        assert await CALLS[shape](channel) == wanted[shape]


@pytest.mark.parametrize("shape", CALLS)
async def test_a_typed_error_reaches_the_client_in_every_shape(shape: str) -> None:
    failure = InvalidInputError("BAD_OPTION", "bits", "bits is 40; it must be 8 to 16", bits=40)
    async with serving([echo_service(EchoServicer(failure=failure))]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await CALLS[shape](channel)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    error = error_from_call(caught.value)
    assert isinstance(error, InvalidInputError)
    assert (error.reason, error.field, error.metadata) == ("BAD_OPTION", "bits", {"bits": "40"})
    assert error.message == "bits is 40; it must be 8 to 16"


@pytest.mark.parametrize("shape", CALLS)
async def test_any_other_exception_is_internal_and_only_the_log_knows_it(shape: str) -> None:
    with capture_logs() as logs:
        async with serving(
            [echo_service(EchoServicer(failure=RuntimeError("a secret path")))]
        ) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await CALLS[shape](channel)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert reason_of(caught.value) == "INTERNAL"
    assert "secret" not in str(caught.value.details())
    crashed = next(entry for entry in logs if entry["event"] == "rpc_crashed")
    assert crashed["exc_info"]


async def test_a_full_disk_is_typed_on_the_wire() -> None:
    failure = OSError(28, "No space left on device", "/data/x/depth.npy")
    async with serving([echo_service(EchoServicer(failure=failure))]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await CALLS["unary_unary"](channel)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(caught.value) == "DISK_FULL"
    assert "/data" not in str(caught.value.details())


async def test_a_request_id_is_echoed_in_both_metadata_and_stands_in_the_log() -> None:
    with capture_logs(processors=[merge_contextvars]) as logs:
        async with serving([echo_service(EchoServicer())]) as channel:
            call = method(channel, "Say")(HELLO, metadata=(("x-request-id", "r-17"),))
            await call
            initial, trailing = await call.initial_metadata(), await call.trailing_metadata()
    assert dict(initial)["x-request-id"] == dict(trailing)["x-request-id"] == "r-17"
    finished = next(entry for entry in logs if entry["event"] == "rpc_finished")
    assert (finished["request_id"], finished["method"], finished["code"]) == (
        "r-17",
        f"/{NAME}/Say",
        "OK",
    )


@pytest.mark.parametrize("asked", ["", "x" * 65, "a b", "../a", '{"a":1}'])
async def test_an_odd_request_id_is_replaced(asked: str) -> None:
    async with serving([echo_service(EchoServicer())]) as channel:
        call = method(channel, "Say")(HELLO, metadata=(("x-request-id", asked),))
        initial = dict(await call.initial_metadata())
    assert len(str(initial["x-request-id"])) == 32


async def test_a_failed_call_also_carries_its_request_id() -> None:
    async with serving(
        [echo_service(EchoServicer(failure=RuntimeError("a secret path")))]
    ) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(channel, "Say")(HELLO, metadata=(("x-request-id", "r-18"),))
    assert dict(caught.value.trailing_metadata() or ())["x-request-id"] == "r-18"


async def test_calls_are_counted_by_method_and_code() -> None:
    metrics = ServerMetrics()
    failing = EchoServicer()
    async with serving([echo_service(failing)], metrics=metrics) as channel:
        await CALLS["unary_unary"](channel)
        failing.failure = RuntimeError("a secret path")
        for _ in range(2):
            with pytest.raises(grpc.aio.AioRpcError):
                await CALLS["unary_unary"](channel)
    labels = {"method": f"/{NAME}/Say"}
    assert value_of(metrics, "epipar_rpc_started_total", **labels) == 3
    assert value_of(metrics, "epipar_rpc_finished_total", **labels, code="OK") == 1
    assert value_of(metrics, "epipar_rpc_finished_total", **labels, code="INTERNAL") == 2
    assert value_of(metrics, "epipar_rpc_in_flight", **labels) == 0
    assert value_of(metrics, "epipar_rpc_seconds_count", **labels) == 3


async def test_a_method_that_does_not_exist_is_unimplemented() -> None:
    async with serving([echo_service(EchoServicer())]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(channel, "Say", service="epipar.test.v1.NoService")(HELLO)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_one_stream_too_many_is_refused_and_unary_calls_still_answer() -> None:
    servicer = EchoServicer()
    async with serving([echo_service(servicer)], max_streams=1) as channel:
        first = method(channel, "Wait")(HELLO)
        await first.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(channel, "Wait")(HELLO).read()
        assert (await method(channel, "Say")(HELLO)).value == "hello"
        servicer.may_finish.set()
        assert (await first.read()).value == "hello"
        assert await first.read() == grpc.aio.EOF
        await first.code()
        await servicer.ended.wait()
        assert (await method(channel, "Wait")(HELLO).read()).value == "hello"
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    error = error_from_call(caught.value)
    assert (error.reason, getattr(error, "retry_after_s", None)) == ("TOO_MANY_REQUESTS", 5.0)


async def test_the_limit_is_each_services_own() -> None:
    one, two = EchoServicer(), EchoServicer()
    other = "epipar.test.v1.OtherService"
    async with serving([echo_service(one), echo_service(two, other)], max_streams=1) as channel:
        first = method(channel, "Wait")(HELLO)
        await first.read()
        second = method(channel, "Wait", other)(HELLO)
        assert (await second.read()).value == "hello"


async def test_too_large_a_request_is_refused_with_its_reason() -> None:
    async with serving([echo_service(EchoServicer())], max_receive_bytes=1024) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(channel, "Say")(StringValue(value="x" * 2000))
        assert (await method(channel, "Say")(HELLO)).value == "hello"
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert reason_of(caught.value) == "MESSAGE_TOO_LARGE"


async def test_a_deadline_reaches_the_handler_and_ends_it() -> None:
    servicer = EchoServicer()
    metrics = ServerMetrics()
    async with serving([echo_service(servicer)], metrics=metrics) as channel:
        await method(channel, "Say")(HELLO)
        await method(channel, "Say")(HELLO, timeout=1000)
        for deadline_s in (0.3, 3, 30):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                _ = [reply async for reply in method(channel, "Wait")(HELLO, timeout=deadline_s)]
            if servicer.started.is_set():
                break  # a busy machine may not even begin in so short a time
        await servicer.ended.wait()
    assert servicer.seen[0] is None
    assert 900 < servicer.seen[1] < 1100  # grpc rounds long ones up
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert reason_of(caught.value) == "DEADLINE_EXCEEDED"
    labels = {"method": f"/{NAME}/Wait", "code": "DEADLINE_EXCEEDED"}
    assert value_of(metrics, "epipar_rpc_finished_total", **labels) >= 1


async def test_cancelling_a_call_ends_its_work_with_all_its_processes(tmp_path: Path) -> None:
    servicer = EchoServicer(work_env=ENV)
    pids = tmp_path / "pids"
    async with serving([echo_service(servicer)]) as channel:
        call = method(channel, "Work")(StringValue(value=f"hang {pids}"))
        assert (await call.read()).value == "hanging"
        alive = [int(pid) for pid in pids.read_text().split()]
        call.cancel()
        await servicer.ended.wait()
        assert all(map(is_gone, alive))


async def test_a_crash_of_the_work_is_typed_and_the_service_lives() -> None:
    async with serving([echo_service(EchoServicer(work_env=ENV))]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            _ = [reply async for reply in method(channel, "Work")(StringValue(value="segfault -"))]
        replies = [r.value async for r in method(channel, "Work")(StringValue(value="echo -"))]
    assert reason_of(caught.value) == "WORKER_DIED"
    assert set(replies[:-1]) == {"reading"}
    assert replies[-1] == "result"


async def test_health_knows_the_server_and_each_service() -> None:
    async with serving([echo_service(EchoServicer())]) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", NAME):
            reply = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert reply.status == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_callers_are_asked_to_connect_anew_and_running_calls_go_on() -> None:
    servicer = EchoServicer()
    async with serving([echo_service(servicer)], connection_age_s=1) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        stream = health.Watch(health_pb2.HealthCheckRequest())
        assert (await stream.read()).status == SERVING
        assert channel.get_state() is grpc.ChannelConnectivity.READY
        async with asyncio.timeout(60):  # without an age the channel would stay as it is
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        assert not stream.done()
        reply = await health.Check(health_pb2.HealthCheckRequest())
        assert reply.status == SERVING
        stream.cancel()


@pytest.mark.parametrize("is_on", [True, False])
async def test_reflection_lists_the_services_unless_it_is_off(is_on: bool) -> None:
    async with serving([echo_service(EchoServicer())], reflection=is_on) as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # stubs know the sync channel only
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = stub.ServerReflectionInfo(iter([request]))
        if is_on:
            reply = await call.read()
            names = {service.name for service in reply.list_services_response.service}
            assert {NAME, "grpc.health.v1.Health"} <= names
        else:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_port_that_is_taken_is_refused_by_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServerSettings(store_url=".", port=taken.getsockname()[1])
        with pytest.raises(SettingsError, match=r"cannot listen on 127\.0\.0\.1"):
            await Server(settings, []).__aenter__()


async def test_two_servers_cannot_share_a_port() -> None:
    async with Server(ServerSettings(store_url=".", port=0, grace_s=0), []) as first:
        port = int(first.ready.address.rpartition(":")[2])
        with pytest.raises(SettingsError, match="cannot listen"):
            await Server(ServerSettings(store_url=".", port=port), []).__aenter__()


async def test_metrics_are_served_over_http_and_end_with_the_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = ServerSettings(store_url=".", port=0, metrics_port=port, grace_s=0)
    async with Server(settings, [echo_service(EchoServicer())]) as server:
        assert server.ready.metrics_address == f"127.0.0.1:{port}"
        async with grpc.aio.insecure_channel(server.ready.address) as channel:
            await method(channel, "Say")(HELLO)
        page = await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/metrics")
        assert f'epipar_rpc_started_total{{method="/{NAME}/Say"}} 1.0' in page
    with pytest.raises(OSError):  # noqa: PT011 - refused, however the system says it
        await asyncio.to_thread(_get, f"http://127.0.0.1:{port}/metrics")


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=120) as reply:  # noqa: S310 - our own page
        return str(reply.read().decode())


class Lamp:
    """A companion that writes down when it goes on and off."""

    def __init__(self, name: str, log: list[str]) -> None:
        self._name, self._log = name, log

    async def __aenter__(self) -> dict[str, Any]:
        self._log.append(f"{self._name} on")
        return {f"{self._name}_address": "here"}

    async def __aexit__(self, *details: object) -> None:
        self._log.append(f"{self._name} off")


async def test_companions_live_around_the_server_and_their_facts_are_told() -> None:
    log: list[str] = []
    told: list[Any] = []
    settings = ServerSettings(store_url=".", port=0, grace_s=0)

    def on_ready(ready: Any) -> None:
        log.append("ready")
        told.append(ready)
        os.kill(os.getpid(), signal.SIGTERM)

    program = Program(
        [echo_service(EchoServicer())],
        [Lamp("first", log), Lamp("second", log)],
        on_drain=lambda: log.append("drain"),
    )
    await serve(settings, program, on_ready=on_ready)
    assert log == ["first on", "second on", "ready", "drain", "second off", "first off"]
    assert told[0].facts == {"first_address": "here", "second_address": "here"}
    assert told[0].address.startswith("127.0.0.1:")


async def test_companions_are_left_when_the_server_cannot_start() -> None:
    log: list[str] = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = ServerSettings(store_url=".", port=taken.getsockname()[1])
        with pytest.raises(SettingsError):
            await serve(settings, Program([echo_service(EchoServicer())], [Lamp("a", log)]))
    assert log == ["a on", "a off"]
