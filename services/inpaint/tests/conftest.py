"""What the inpaint tests share: a small rendered room, the service on a real wire, a small engine."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from epipar.inpaint.v1 import inpaint_service_pb2_grpc as pb_grpc
from epipar_inpaint.masks.maker import MaskRequest, make_masks, masks_hash
from epipar_inpaint.masks.options import MaskOptions
from epipar_inpaint.masks.regions import Sphere
from epipar_inpaint.service import NAME, InpaintService
from epipar_kit.server import Service
from epipar_kit.store import open_store
from epipar_kit.testing import serving
from epipar_scene.folder import SceneFolder

from .engines.install import install_median_engine
from .rooms import RenderedRoom, make_room


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> RenderedRoom:
    """A room in six views of 160x120; copy it before anything is written beside it."""
    return make_room(tmp_path_factory.mktemp("rendered") / "scene", seed=2, views=6)


@pytest.fixture(scope="session")
def ball_options(rendered: RenderedRoom) -> MaskOptions:
    """Take the ball away."""
    x, y, z = rendered.room.ball_center.tolist()
    return MaskOptions(regions=(Sphere((x, y, z), 0.29),))


@pytest.fixture(scope="session")
def masked_room(
    tmp_path_factory: pytest.TempPathFactory, rendered: RenderedRoom, ball_options: MaskOptions
) -> Path:
    """A copy of the room with the mask set "ball"."""
    root = tmp_path_factory.mktemp("masked") / "room"
    shutil.copytree(rendered.root, root)
    output = root / "masks" / "ball"
    output.mkdir(parents=True)
    digest = masks_hash(SceneFolder.open(root).info.content_hash, ball_options, None)
    make_masks(MaskRequest(root, output, digest, ball_options), lambda *_: None)
    return root


@pytest.fixture
def store_root(tmp_path: Path, rendered: RenderedRoom) -> Path:
    """A store with the room as "scenes/room"."""
    root = tmp_path / "store"
    shutil.copytree(rendered.root, root / "scenes" / "room")
    return root


@pytest.fixture
async def stub(store_root: Path) -> AsyncIterator[Any]:
    """The service's stub, over a channel on 127.0.0.1."""
    servicer = InpaintService(open_store(store_root.as_uri()), threads=2)
    service = Service(
        NAME, lambda server: pb_grpc.add_InpaintServiceServicer_to_server(servicer, server)
    )
    async with serving([service]) as channel:
        yield pb_grpc.InpaintServiceStub(channel)


@pytest.fixture
def trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install the engine "median" for this process and its jobs; return its file of orders."""
    return install_median_engine(tmp_path, monkeypatch)
