"""Calls to SceneService: which scenes a suite has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

from epipar.scene.v1 import scene_service_pb2 as scene_pb2
from epipar.scene.v1 import scene_service_pb2_grpc as scene_grpc
from epipar_client.convert import filled
from epipar_client.convert_gateway import SCENE_STATES, numbers_from, scene_from
from epipar_client.scene_types import Scene, SceneState
from epipar_client.transport import Transport, fresh_id


class SceneCalls:
    """The part of the client that talks to SceneService."""

    _transport: Transport

    async def create_scene(
        self, scene_id: str | None = None, *, display_name: str | None = None
    ) -> Scene:
        """Make an empty scene.

        Args:
            scene_id: the part after "scenes/"; None lets the service choose.
            display_name: name for people; None for the scene_id.

        Raises:
            AlreadyExistsError: there is a scene of that name.
            EpiparError: the call failed otherwise.
        """
        request = filled(
            scene_pb2.CreateSceneRequest(),
            scene_id=scene_id,
            display_name=display_name,
            request_id=fresh_id(),  # a repeat after a lost answer is no second scene
        )
        answer = await self._transport.ask(
            "gateway",
            lambda channel, settings: scene_grpc.SceneServiceStub(channel).CreateScene(
                request, **settings
            ),
        )
        return scene_from(answer.scene)

    async def get_scene(self, name: str) -> Scene:
        """Return the scene "scenes/{scene}".

        Raises:
            NotFoundError: there is none.
            EpiparError: the call failed otherwise.
        """
        request = filled(scene_pb2.GetSceneRequest(), name=name)
        answer = await self._transport.ask(
            "gateway",
            lambda channel, settings: scene_grpc.SceneServiceStub(channel).GetScene(
                request, **settings
            ),
        )
        return scene_from(answer.scene)

    async def list_scenes(
        self, *, states: Collection[SceneState] = (), query: str | None = None, page_size: int = 50
    ) -> AsyncIterator[Scene]:
        """Yield all scenes, newest first, a page at a time.

        Args:
            states: only scenes in one of these; empty for all.
            query: only scenes whose display name contains this, whatever the case.
            page_size: how many to ask for at once, 1 to 1000.

        Raises:
            EpiparError: a call failed.
        """
        request = filled(scene_pb2.ListScenesRequest(), query=query, page_size=page_size)
        request.states.extend(numbers_from("states", states, SCENE_STATES))
        while True:
            answer = await self._transport.ask(
                "gateway",
                lambda channel, settings: scene_grpc.SceneServiceStub(channel).ListScenes(
                    request, **settings
                ),
            )
            for scene in answer.scenes:
                yield scene_from(scene)
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def delete_scene(self, name: str) -> None:
        """Remove a scene with its files; its running jobs are cancelled first.

        Raises:
            NotFoundError: there is none.
            EpiparError: the call failed otherwise.
        """
        request = filled(scene_pb2.DeleteSceneRequest(), name=name)
        await self._transport.ask(
            "gateway",
            lambda channel, settings: scene_grpc.SceneServiceStub(channel).DeleteScene(
                request, **settings
            ),
        )
