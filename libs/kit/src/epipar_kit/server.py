"""Start a grpc.aio server the way every Epipar service does, and end it without hurting callers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self, TypeAlias

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection
from prometheus_client.registry import Collector

from epipar_kit.errors import typed_storage_errors
from epipar_kit.interceptors import (
    DrainInterceptor,
    ErrorInterceptor,
    InputsInterceptor,
    LimitInterceptor,
    ObserveInterceptor,
    RequestIdInterceptor,
    TraceInterceptor,
)
from epipar_kit.metrics import ServerMetrics, metrics_page
from epipar_kit.settings import ServerSettings, SettingsError
from epipar_kit.staging import write_atomic

log = structlog.get_logger(__name__)

END_GRACE_S = 5.0
"""How long calls that the drain ended may tidy up; killing a job takes up to two seconds."""


@dataclass(frozen=True, slots=True)
class Service:
    """A servicer and its full name.

    Attributes:
        name: such as "epipar.depth.v1.DepthService".
        add: puts the servicer on a server, usually
            ``lambda server: add_DepthServiceServicer_to_server(servicer, server)``.
    """

    name: str
    add: Callable[[grpc.aio.Server], None]


Companion: TypeAlias = "AbstractAsyncContextManager[Mapping[str, Any]]"
"""Something that lives around a server in its event loop, such as an HTTP server or a sweeper.

What it gives on entering stands in the ready line, for example ``{"http_address": "host:port"}``.
"""


@dataclass(frozen=True, slots=True)
class Ready:
    """Where a started server answers.

    Attributes:
        address: "host:port" of gRPC.
        metrics_address: "host:port" of HTTP /metrics, None where it is off.
        facts: what the companions tell.
    """

    address: str
    metrics_address: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Program:
    """A server and what lives around it.

    Attributes:
        services: what it serves.
        companions: entered in this order before the server listens, left in reverse after it has
            drained, so that running calls have them to their end.
        on_drain: called once when the drain begins; ends streams that would not end by themselves.
        collectors: tell what stands on the metrics page beside the server's own, when it is read.
    """

    services: Sequence[Service]
    companions: Sequence[Companion] = ()
    on_drain: Callable[[], None] | None = None
    collectors: Sequence[Collector] = ()


class Server:
    """A gRPC server with health, reflection, typed errors, logs, metrics and limits.

    Use it as an async context manager: it answers inside, and leaving drains it. Health turns
    NOT_SERVING first, no call is accepted any more, running ones get ``grace_s``; those that are
    left then end as UNAVAILABLE with a RetryInfo.
    """

    def __init__(
        self,
        settings: ServerSettings,
        services: Sequence[Service],
        *,
        metrics: ServerMetrics | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = metrics if metrics is not None else ServerMetrics()
        self._services = services
        self._health = HealthServicer()
        self._hurry = asyncio.Event()
        self._resources = AsyncExitStack()
        self._ready: Ready | None = None

    @property
    def ready(self) -> Ready:
        """Where the server answers.

        Raises:
            RuntimeError: it does not run.
        """
        if self._ready is None:
            raise RuntimeError("the server does not run; enter it first")
        return self._ready

    def hurry(self) -> None:
        """End the grace of a drain now."""
        self._hurry.set()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as resources:
            # The drain waits for calls, so it must see them in the order in which they begin.
            self._drain = DrainInterceptor()
            self._server = self._make_server()
            port = self._bind()
            for service in self._services:
                service.add(self._server)
                self.metrics.slots.labels(service.name).set(self.settings.max_streams)
                self.metrics.slots_taken.labels(service.name).set(0)
            await self._add_health_and_reflection()
            await self._server.start()
            resources.push_async_callback(self._stop)
            metrics_port = 0
            if self.settings.metrics_port:
                metrics_port = self._serve_metrics(resources)
            self._ready = Ready(
                _address(self.settings.host, port),
                _address(self.settings.host, metrics_port) if metrics_port else None,
            )
            self._announce(self._ready)
            self._resources = resources.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ready = None
        if self.settings.ready_file is not None:
            self.settings.ready_file.unlink(missing_ok=True)
        await self._resources.aclose()

    def _make_server(self) -> grpc.aio.Server:
        settings = self.settings
        age_ms = round(settings.connection_age_s * 1000)
        return grpc.aio.server(
            interceptors=[
                RequestIdInterceptor(),
                TraceInterceptor(),
                ObserveInterceptor(self.metrics),
                ErrorInterceptor(),
                self._drain,
                LimitInterceptor(settings.max_streams, self.metrics),
                InputsInterceptor(),
            ],
            maximum_concurrent_rpcs=settings.max_calls,
            options=[
                ("grpc.so_reuseport", 0),  # else two servers share a port without a word
                ("grpc.max_receive_message_length", settings.max_receive_bytes),
                ("grpc.max_send_message_length", settings.max_send_bytes),
                ("grpc.keepalive_time_ms", round(settings.keepalive_s * 1000)),
                ("grpc.keepalive_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
                *([("grpc.max_connection_age_ms", age_ms)] if age_ms else []),
            ],
        )

    def _bind(self) -> int:
        settings = self.settings
        address = _address(settings.host, settings.port)
        credentials = _credentials(settings)
        try:
            if credentials is None:
                return self._server.add_insecure_port(address)
            return self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise SettingsError(
                f"cannot listen on {address}: it is taken, not an address of this machine, or the "
                f"certificate and key do not fit; see {settings.variable('host')} and "
                f"{settings.variable('port')}"
            ) from error

    async def _add_health_and_reflection(self) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [service.name for service in self._services]
        for name in ["", *names]:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        if self.settings.reflection:
            own = [health_pb2.DESCRIPTOR.services_by_name["Health"].full_name]
            reflection.enable_server_reflection(
                [*names, *own, reflection.SERVICE_NAME], self._server
            )

    def _serve_metrics(self, resources: AsyncExitStack) -> int:
        settings = self.settings
        page = metrics_page(self.metrics, host=settings.host, port=settings.metrics_port)
        try:
            return resources.enter_context(page)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {_address(settings.host, settings.metrics_port)}: "
                f"{error.strerror}; see {settings.variable('metrics_port')}"
            ) from error

    def _announce(self, ready: Ready) -> None:
        if self.settings.ready_file is not None:
            facts = {
                "address": ready.address,
                "metrics_address": ready.metrics_address,
                "pid": os.getpid(),
            }
            with typed_storage_errors():
                write_atomic(self.settings.ready_file, json.dumps(facts).encode())
        log.info(
            "ready",
            address=ready.address,
            metrics_address=ready.metrics_address,
            tls=self.settings.tls_cert is not None,
            services=[service.name for service in self._services],
        )

    async def _stop(self) -> None:
        """Drain: see the class."""
        log.info("draining", grace_s=self.settings.grace_s)
        await self._health.enter_graceful_shutdown()
        grace_s = self.settings.grace_s
        stopping = asyncio.create_task(self._server.stop(grace_s + END_GRACE_S))
        hurrying = asyncio.create_task(self._hurry.wait())
        idling = asyncio.create_task(self._drain.wait_idle(grace_s))
        await asyncio.wait({hurrying, idling}, return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        idling.cancel()
        if ended := self._drain.end_all():
            log.warning("calls_ended", calls=ended)
            await self._drain.wait_idle(END_GRACE_S)
        # What is left are watches of health, which never end by themselves.
        await self._server.stop(0.2)
        await stopping
        log.info("stopped")


async def serve(
    settings: ServerSettings,
    services: Sequence[Service] | Program,
    *,
    metrics: ServerMetrics | None = None,
    on_ready: Callable[[Ready], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the grace.

    Args:
        settings: where to listen, and the limits.
        services: what to serve, with companions where it is a Program.
        metrics: counters to share with the services; own ones by default.
        on_ready: called once with the address, when the server answers.

    Raises:
        SettingsError: the address cannot be listened on, or a TLS file cannot be read.
    """
    asked = asyncio.Event()
    program = services if isinstance(services, Program) else Program(services)
    server = Server(settings, program.services, metrics=metrics)
    for collector in program.collectors:
        server.metrics.registry.register(collector)

    def on_signal() -> None:
        if asked.is_set():
            server.hurry()
        asked.set()

    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, on_signal)
    try:
        async with AsyncExitStack() as around:
            facts: dict[str, Any] = {}
            for companion in program.companions:
                facts.update(await around.enter_async_context(companion))
            await around.enter_async_context(server)
            if on_ready is not None:
                on_ready(replace(server.ready, facts=facts))
            await asked.wait()
            if program.on_drain is not None:
                program.on_drain()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def _credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    """Read the TLS files; None where TLS is off."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    try:
        pair = (settings.tls_key.read_bytes(), settings.tls_cert.read_bytes())
        authorities = settings.tls_client_ca.read_bytes() if settings.tls_client_ca else None
    except OSError as error:
        raise SettingsError(
            f"cannot read the TLS file {error.filename}: {error.strerror}"
        ) from None
    return grpc.ssl_server_credentials(
        [pair], root_certificates=authorities, require_client_auth=authorities is not None
    )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
