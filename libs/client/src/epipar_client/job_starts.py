"""Calls to JobService that start durable work."""

from __future__ import annotations

from epipar.scene.v1 import job_service_pb2 as job_pb2
from epipar.scene.v1 import job_service_pb2_grpc as job_grpc
from epipar_client.convert import depth_options_from, export_options_from, filled
from epipar_client.convert_gateway import job_from
from epipar_client.convert_inpaint import complete_options_from, intent_from, mask_options_from
from epipar_client.inpaint_options import CompleteOptions, Intent, MaskOptions
from epipar_client.job_types import Job
from epipar_client.options import DepthOptions, ExportOptions
from epipar_client.transport import Transport, fresh_id


class JobStarts:
    """The part of the client that starts jobs.

    In every start, `priority` is 0 to 100 (among waiting jobs the higher goes first; None for 50)
    and a repeat with the same `request_id` returns the first job (made up if None, so that a lost
    answer never starts a second one).
    """

    _transport: Transport

    async def start_reconstruction(
        self,
        upload: str,
        *,
        scene: str | None = None,
        engine: str | None = None,
        depth: DepthOptions | None = None,
        export: ExportOptions | None = None,
        priority: int | None = None,
        request_id: str | None = None,
    ) -> Job:
        """Queue depth, then export, of an upload.

        Args:
            upload: "uploads/{upload}" of a sealed upload.
            scene: "scenes/{scene}" to fill, which must be empty; None for a new one.
            engine: of the depth service; None for its default.
            depth: settings of the depth service.
            export: settings of the export service.
            priority: see the class.
            request_id: see the class.

        Raises:
            EpiparError: the call failed.
        """
        request = filled(
            job_pb2.StartReconstructionRequest(),
            upload=upload,
            scene=scene,
            engine=engine,
            priority=priority,
            request_id=request_id or fresh_id(),
        )
        if depth is not None:
            request.depth.CopyFrom(depth_options_from(depth))
        if export is not None:
            request.export.CopyFrom(export_options_from(export))
        answer = await self._transport.ask(
            "gateway",
            lambda channel, settings: job_grpc.JobServiceStub(channel).StartReconstruction(
                request, **settings
            ),
        )
        return job_from(answer.job)

    async def start_export(
        self,
        scene: str,
        *,
        completion: str | None = None,
        export_name: str | None = None,
        options: ExportOptions | None = None,
        priority: int | None = None,
        request_id: str | None = None,
    ) -> Job:
        """Queue another export of a finished scene, or of a completion of it.

        Args:
            scene: "scenes/{scene}".
            completion: name of a completion of it to export instead.
            export_name: name of the export; None for the hash of its options.
            options: settings of the export service.
            priority: see the class.
            request_id: see the class.

        Raises:
            EpiparError: the call failed.
        """
        request = filled(
            job_pb2.StartExportRequest(),
            scene=scene,
            completion=completion,
            export_name=export_name,
            priority=priority,
            request_id=request_id or fresh_id(),
        )
        if options is not None:
            request.options.CopyFrom(export_options_from(options))
        answer = await self._transport.ask(
            "gateway",
            lambda channel, settings: job_grpc.JobServiceStub(channel).StartExport(
                request, **settings
            ),
        )
        return job_from(answer.job)

    async def start_completion(
        self,
        scene: str,
        *,
        intent: Intent,
        completion_name: str | None = None,
        masks: MaskOptions | None = None,
        engine: str | None = None,
        options: CompleteOptions | None = None,
        export: ExportOptions | None = None,
        priority: int | None = None,
        request_id: str | None = None,
    ) -> Job:
        """Queue masks, completion and export of a finished scene.

        Args:
            scene: "scenes/{scene}".
            intent: "complete" puts a missing surface back, "remove" shows what is behind.
            completion_name: name of the completion; None for the hash of its options.
            masks: what counts as missing.
            engine: of the inpaint service; None for its default.
            options: settings of the inpaint service.
            export: settings of the export service.
            priority: see the class.
            request_id: see the class.

        Raises:
            EpiparError: the call failed.
        """
        request = filled(
            job_pb2.StartCompletionRequest(),
            scene=scene,
            completion_name=completion_name,
            intent=intent_from(intent),
            engine=engine,
            priority=priority,
            request_id=request_id or fresh_id(),
        )
        if masks is not None:
            request.masks.CopyFrom(mask_options_from(masks))
        if options is not None:
            request.options.CopyFrom(complete_options_from(options))
        if export is not None:
            request.export.CopyFrom(export_options_from(export))
        answer = await self._transport.ask(
            "gateway",
            lambda channel, settings: job_grpc.JobServiceStub(channel).StartCompletion(
                request, **settings
            ),
        )
        return job_from(answer.job)
