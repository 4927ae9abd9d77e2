"""Calls to the compute services: depth, export and completion of keys in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from epipar.depth.v1 import depth_service_pb2 as depth_pb2
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar.export.v1 import export_service_pb2_grpc as export_grpc
from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb2
from epipar.inpaint.v1 import inpaint_service_pb2_grpc as inpaint_grpc
from epipar_client.call import Call
from epipar_client.convert import (
    engines_from,
    export_event_from,
    export_request_from,
    predict_event_from,
    predict_request_from,
)
from epipar_client.convert_inpaint import (
    complete_event_from,
    complete_request_from,
    completion_engines_from,
    mask_event_from,
    mask_request_from,
)
from epipar_client.errors import UnavailableError, error_from_rpc
from epipar_client.inpaint_options import CompleteOptions, Intent, MaskOptions
from epipar_client.inpaint_types import CompleteResult, CompletionEngine, MaskResult
from epipar_client.options import Camera, DepthOptions, ExportOptions, InlineImage
from epipar_client.transport import OnProgress, Service, Transport
from epipar_client.types import Engine, ExportResult, SceneResult


class ComputeCalls:
    """The part of the client that talks to the compute services.

    In every call `on_progress` is called with each Progress, in the event loop; `timeout_s` is for
    the whole call with its repeats (None waits as long as it takes); `request_id` finds the call
    in the service's log (made up if None). A request that cannot be built raises
    InvalidInputError before anything is sent.
    """

    _transport: Transport

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
            on_progress: see the class.
            timeout_s: see the class.
            request_id: see the class.

        Returns:
            A call to await for its SceneResult or to iterate over.
        """
        request = predict_request_from(source, output_uri, engine, options, cameras)
        return self._transport.call(
            "depth",
            depth_grpc.DepthServiceStub,
            "Predict",
            request,
            predict_event_from,
            on_progress,
            timeout_s,
            request_id,
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
            on_progress: see the class.
            timeout_s: see the class.
            request_id: see the class.

        Returns:
            A call to await for its ExportResult or to iterate over.
        """
        return self._transport.call(
            "export",
            export_grpc.ExportServiceStub,
            "Export",
            export_request_from(scene_uri, output_uri, options),
            export_event_from,
            on_progress,
            timeout_s,
            request_id,
        )

    def mask_incomplete(
        self,
        scene_uri: str,
        mask_set: str | None = None,
        *,
        options: MaskOptions | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> Call[MaskResult]:
        """Write masks of what a scene lacks, in colour and in depth.

        Args:
            scene_uri: store key of a finished scene folder.
            mask_set: name of the set; None for "default".
            options: what counts as missing; None for the service's defaults.
            on_progress: see the class.
            timeout_s: see the class.
            request_id: see the class.

        Returns:
            A call to await for its MaskResult or to iterate over.
        """
        return self._transport.call(
            "inpaint",
            inpaint_grpc.InpaintServiceStub,
            "MaskIncomplete",
            mask_request_from(scene_uri, mask_set, options),
            mask_event_from,
            on_progress,
            timeout_s,
            request_id,
        )

    def complete(
        self,
        scene_uri: str,
        output_uri: str | None = None,
        *,
        intent: Intent,
        masks: str | MaskOptions | None = None,
        engine: str | None = None,
        options: CompleteOptions | None = None,
        on_progress: OnProgress | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> Call[CompleteResult]:
        """Fill what a scene lacks, or take something away: a whole scene folder again.

        Args:
            scene_uri: store key of a finished scene folder.
            output_uri: store key of the completion; None for "{scene_uri}/completions/default".
            intent: "complete" puts a missing surface back, "remove" shows what is behind.
            masks: name of a finished mask set, or options of a fresh one; None for a fresh one
                with the service's defaults.
            engine: as in list_completion_engines; None for the service's default.
            options: settings; None for the service's defaults.
            on_progress: see the class.
            timeout_s: see the class.
            request_id: see the class.

        Returns:
            A call to await for its CompleteResult or to iterate over.
        """
        request = complete_request_from(
            scene_uri,
            output_uri,
            MaskOptions() if masks is None else masks,
            intent,
            engine,
            options,
        )
        return self._transport.call(
            "inpaint",
            inpaint_grpc.InpaintServiceStub,
            "Complete",
            request,
            complete_event_from,
            on_progress,
            timeout_s,
            request_id,
        )

    async def list_engines(self, *, timeout_s: float = 30.0) -> tuple[Engine, ...]:
        """Tell which depth engines the service has, the default one first.

        Raises:
            EpiparError: the call failed.
        """
        request = depth_pb2.ListEnginesRequest()
        return engines_from(
            await self._transport.ask(
                "depth",
                lambda channel, settings: depth_grpc.DepthServiceStub(channel).ListEngines(
                    request, **settings
                ),
                timeout_s=timeout_s,
            )
        )

    async def list_completion_engines(
        self, *, timeout_s: float = 30.0
    ) -> tuple[CompletionEngine, ...]:
        """Tell which completion engines the inpaint service has, the default one first.

        Raises:
            EpiparError: the call failed.
        """
        request = inpaint_pb2.ListEnginesRequest()
        return completion_engines_from(
            await self._transport.ask(
                "inpaint",
                lambda channel, settings: inpaint_grpc.InpaintServiceStub(channel).ListEngines(
                    request, **settings
                ),
                timeout_s=timeout_s,
            )
        )

    async def wait_until_serving(self, service: Service, *, timeout_s: float = 30.0) -> None:
        """Wait until a service says by grpc.health.v1 that it serves.

        A suite's public address does not answer this: there use `wait_until_ready`.

        Raises:
            UnavailableError: it did not within `timeout_s`.
        """
        at = self._transport.target_of(service)
        stub = health_pb2_grpc.HealthStub(self._transport.channel_to(service))
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
