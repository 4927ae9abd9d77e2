"""The client: one object for all services of a suite."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from epipar.depth.v1 import depth_service_pb2 as depth_pb2
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar.export.v1 import export_service_pb2_grpc as export_grpc
from epipar_client.call import Call
from epipar_client.channel import Tls, open_channel
from epipar_client.convert import (
    engines_from,
    export_event_from,
    export_request_from,
    predict_event_from,
    predict_request_from,
)
from epipar_client.errors import EpiparError, InvalidInputError, UnavailableError, error_from_rpc
from epipar_client.options import Camera, DepthOptions, ExportOptions, InlineImage
from epipar_client.retry import Retry
from epipar_client.types import Engine, ExportResult, Progress, SceneResult
from epipar_client.version import VERSION

Service: TypeAlias = Literal["depth", "export"]
OnProgress: TypeAlias = Callable[[Progress], None]


class EpiparClient:
    """A typed client of an Epipar suite. Safe to share by all tasks of one event loop.

        async with EpiparClient("127.0.0.1:50051", export="127.0.0.1:50052") as client:
            scene = await client.reconstruct("uploads/clip.mp4", "scenes/kitchen")

    Args:
        address: "host:port" of every service that is not given below, for example of Envoy.
        depth: "host:port" of the depth service.
        export: "host:port" of the export service.
        tls: None for plain text; Tls() trusts the system's authorities.
        token: sent as `authorization: Bearer`; only over TLS or to this machine.
        retry: when a call is repeated.
        silence_s: how long a stream may be silent before its connection counts as lost. The
            services send something every 10 seconds.

    Raises:
        ValueError: an address or a setting cannot be right.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        depth: str | None = None,
        export: str | None = None,
        tls: Tls | None = None,
        token: str | None = None,
        retry: Retry | None = None,
        silence_s: float = 60.0,
    ) -> None:
        if silence_s <= 0:
            raise ValueError(f"silence_s is {silence_s}; it must be positive")
        chosen: dict[Service, str | None] = {"depth": depth or address, "export": export or address}
        self._addresses = {service: at for service, at in chosen.items() if at is not None}
        if not self._addresses:
            raise ValueError("no address is given; name at least one service's")
        self._tls = tls
        self._token = token
        self._retry = retry or Retry()
        self._silence_s = silence_s
        self._channels: dict[str, aio.Channel] = {}
        for at in self._addresses.values():
            if at not in self._channels:
                self._channels[at] = open_channel(
                    at, tls=tls, token=token, user_agent=f"epipar-python/{VERSION}"
                )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all channels; calls that still run are cancelled."""
        for channel in self._channels.values():
            await channel.close()

    def reconstruct(
        self,
        source: str | Sequence[InlineImage],
        output_uri: str,
        *,
        engine: str | None = None,
        options: DepthOptions | None = None,
        cameras: Sequence[Camera] = (),
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> Call[SceneResult]:
        """Turn a video or images into a scene: depth, confidence and camera poses.

        Args:
            source: store key of a video or of a folder of images; or up to 16 inline images.
            output_uri: store key of the scene folder to make.
            engine: as in list_engines; None for the service's default.
            options: settings; None for the service's defaults.
            cameras: known cameras, one an image, for engines that take them.
            on_progress: called with each Progress, in the event loop.
            timeout_s: for the whole call with its repeats; None waits as long as it takes.
            request_id: to find the call in the service's log; made up if None.

        Returns:
            A call to await for its SceneResult or to iterate over.

        Raises:
            InvalidInputError: the request cannot be built (before anything is sent).
        """
        request = predict_request_from(source, output_uri, engine, options, cameras)
        at = self._address_of("depth")
        method = depth_grpc.DepthServiceStub(self._channels[at]).Predict
        return self._call(
            at, method, request, predict_event_from, on_progress, timeout_s, request_id
        )

    def export(
        self,
        scene_uri: str,
        output_uri: str | None = None,
        *,
        options: ExportOptions | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> Call[ExportResult]:
        """Turn a finished scene into GLB levels, 3D Tiles and PLY.

        Args:
            scene_uri: store key of the scene folder.
            output_uri: store key of the folder to write; None for "{scene_uri}/exports/default".
            options: settings; None for the service's defaults.
            on_progress: called with each Progress, in the event loop.
            timeout_s: for the whole call with its repeats; None waits as long as it takes.
            request_id: to find the call in the service's log; made up if None.

        Returns:
            A call to await for its ExportResult or to iterate over.

        Raises:
            InvalidInputError: the request cannot be built (before anything is sent).
        """
        request = export_request_from(scene_uri, output_uri, options)
        at = self._address_of("export")
        method = export_grpc.ExportServiceStub(self._channels[at]).Export
        return self._call(
            at, method, request, export_event_from, on_progress, timeout_s, request_id
        )

    async def list_engines(self, *, timeout_s: float = 30.0) -> tuple[Engine, ...]:
        """Tell which depth engines the service has, the default one first.

        Raises:
            EpiparError: the call failed.
        """
        at = self._address_of("depth")
        stub = depth_grpc.DepthServiceStub(self._channels[at])
        request_id = _fresh_id()

        async def send() -> depth_pb2.ListEnginesResponse:
            return await stub.ListEngines(
                depth_pb2.ListEnginesRequest(),
                timeout=timeout_s,
                metadata=self._metadata(request_id),
            )

        return engines_from(await self._repeated(send, at, request_id))

    async def wait_until_serving(self, service: Service, *, timeout_s: float = 30.0) -> None:
        """Wait until a service says by grpc.health.v1 that it serves.

        Raises:
            UnavailableError: it did not within `timeout_s`.
        """
        at = self._address_of(service)
        stub = health_pb2_grpc.HealthStub(self._channels[at])
        check: Any = stub.Check  # type: ignore[attr-defined]  # its type stubs leave methods out
        last = "no answer"
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        answer = await check(health_pb2.HealthCheckRequest())
                        if answer.status == health_pb2.HealthCheckResponse.SERVING:
                            return
                        last = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
                    except aio.AioRpcError as error:
                        last = str(error_from_rpc(error, address=at))
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise UnavailableError(
                f"{service} at {at} did not serve within {timeout_s:g} s: {last}",
                reason="UNAVAILABLE",
            ) from None

    def _call(
        self,
        at: str,
        method: Any,
        request: object,
        read_event: Callable[[Any], Any],
        on_progress: OnProgress | None,
        timeout_s: float | None,
        request_id: str | None,
    ) -> Call[Any]:
        request_id = _checked_id(request_id) if request_id else _fresh_id()
        metadata = self._metadata(request_id)
        return Call(
            lambda remaining_s: method(request, timeout=remaining_s, metadata=metadata),
            read_event,
            address=at,
            request_id=request_id,
            retry=self._retry,
            timeout_s=timeout_s,
            silence_s=self._silence_s,
            on_progress=on_progress,
        )

    async def _repeated(
        self,
        send: Callable[[], Awaitable[depth_pb2.ListEnginesResponse]],
        at: str,
        request_id: str,
    ) -> depth_pb2.ListEnginesResponse:
        failed_attempts = 0
        while True:
            try:
                return await send()
            except aio.AioRpcError as cause:
                error: EpiparError = error_from_rpc(cause, address=at, request_id=request_id)
                failed_attempts += 1
                delay_s = self._retry.delay_s(failed_attempts, error)
                if delay_s is None:
                    raise error from cause
            await asyncio.sleep(delay_s)

    def _address_of(self, service: Service) -> str:
        at = self._addresses.get(service)
        if at is None:
            raise ValueError(f"the client has no address of {service}; pass {service}=...")
        return at

    def _metadata(self, request_id: str) -> tuple[tuple[str, str], ...]:
        metadata = (("x-request-id", request_id),)
        return (*metadata, ("authorization", f"Bearer {self._token}")) if self._token else metadata


def _fresh_id() -> str:
    return uuid.uuid4().hex


def _checked_id(request_id: str) -> str:
    if len(request_id) > 128 or not all("!" <= letter <= "~" for letter in request_id):
        raise InvalidInputError(
            f"request_id is {request_id[:200]!r}; it must be at most 128 visible ASCII characters",
            reason="BAD_REQUEST",
            field="request_id",
        )
    return request_id
