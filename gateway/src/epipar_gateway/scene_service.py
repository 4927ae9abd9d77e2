"""SceneService: translates between the wire and the scenes."""

from __future__ import annotations

from collections.abc import Awaitable

import grpc

from epipar.scene.v1 import scene_service_pb2 as pb
from epipar.scene.v1 import scene_service_pb2_grpc as pb_grpc
from epipar_gateway.ids import scene_id_from
from epipar_gateway.job_book import JobBook
from epipar_gateway.paging import page_from
from epipar_gateway.request_ids import request_key
from epipar_gateway.scene_book import SceneBook
from epipar_kit.errors import InvalidInputError

NAME = pb.DESCRIPTOR.services_by_name["SceneService"].full_name
MAX_QUERY_LETTERS = 200


class SceneService(pb_grpc.SceneServiceServicer):
    """Serves the scenes of this suite."""

    def __init__(self, scenes: SceneBook, jobs: JobBook) -> None:
        self._scenes = scenes
        self._jobs = jobs

    async def CreateScene(  # noqa: N802 (gRPC name)
        self,
        request: pb.CreateSceneRequest,
        context: grpc.aio.ServicerContext[pb.CreateSceneRequest, Awaitable[pb.CreateSceneResponse]],
    ) -> pb.CreateSceneResponse:
        """Make an empty scene."""
        key = request_key("CreateScene", request, request.request_id)
        scene = await self._scenes.create(request.scene_id, request.display_name, key)
        return pb.CreateSceneResponse(scene=scene)

    async def GetScene(  # noqa: N802 (gRPC name)
        self,
        request: pb.GetSceneRequest,
        context: grpc.aio.ServicerContext[pb.GetSceneRequest, Awaitable[pb.GetSceneResponse]],
    ) -> pb.GetSceneResponse:
        """Return one scene."""
        scene = await self._scenes.get(scene_id_from(request.name, "name"))
        return pb.GetSceneResponse(scene=scene)

    async def ListScenes(  # noqa: N802 (gRPC name)
        self,
        request: pb.ListScenesRequest,
        context: grpc.aio.ServicerContext[pb.ListScenesRequest, Awaitable[pb.ListScenesResponse]],
    ) -> pb.ListScenesResponse:
        """Return a page of scenes."""
        if len(request.query) > MAX_QUERY_LETTERS:
            raise InvalidInputError(
                "BAD_REQUEST",
                "query",
                f"query has {len(request.query)} characters; at most {MAX_QUERY_LETTERS} are allowed",
            )
        states = sorted(set(request.states))
        known = pb.Scene.State.values()
        for state in states:
            if state == 0 or state not in known:
                raise InvalidInputError(
                    "BAD_REQUEST", "states", f"states has {state}; known are 1 to {max(known)}"
                )
        filters = ["scenes", states, request.query]
        page = page_from(request.page_size, request.page_token, filters)
        scenes, token = await self._scenes.page_of(page, states, request.query)
        return pb.ListScenesResponse(scenes=scenes, next_page_token=token)

    async def DeleteScene(  # noqa: N802 (gRPC name)
        self,
        request: pb.DeleteSceneRequest,
        context: grpc.aio.ServicerContext[pb.DeleteSceneRequest, Awaitable[pb.DeleteSceneResponse]],
    ) -> pb.DeleteSceneResponse:
        """Remove a scene with its jobs and files."""
        await self._scenes.delete(scene_id_from(request.name, "name"), self._jobs)
        return pb.DeleteSceneResponse()
