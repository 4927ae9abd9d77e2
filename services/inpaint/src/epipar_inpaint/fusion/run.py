"""One completion on its way, stage by stage.

Stages, in order: align, reproject, planes, depth, colors, atlas, paint, write. Each leaves its
results view by view in the work folder, so a run that was killed goes on where it stood and ends
with the same bytes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from epipar_inpaint.engine import CompletionRequest, CompletionResult, Preview
from epipar_inpaint.fusion.alignment import Tolerances
from epipar_inpaint.fusion.color_stages import ColorStages
from epipar_inpaint.fusion.completed_info import completed_info
from epipar_inpaint.fusion.depth_stages import DepthStages, World
from epipar_inpaint.fusion.faces import Faces
from epipar_inpaint.fusion.find_faces import find_faces
from epipar_inpaint.fusion.hidden import Hidden, find_hidden
from epipar_inpaint.fusion.output import Output
from epipar_inpaint.fusion.planes import find_planes, points_a_view, points_of_view
from epipar_inpaint.fusion.preview import tile, write_sheet
from epipar_inpaint.fusion.provenance import NAMES
from epipar_inpaint.fusion.store import Store, WorkFolder
from epipar_inpaint.fusion.threads import each
from epipar_inpaint.fusion.working_frame import settle_frame
from epipar_inpaint.painters import make_painter
from epipar_inpaint.scenes import open_scene
from epipar_kit.events import Report
from epipar_scene.arrays import F64, I64, U8
from epipar_scene.transforms import SPARSE_POINTS_PATH

_SHEETS, _TILES = 6, 3
PREVIEW_NAME = "preview.jpg"
_ALL = "all"  # name of a layer that concerns all views


class Run:
    """One request on its way."""

    def __init__(self, request: CompletionRequest, report: Report, preview: Preview) -> None:
        self._request = request
        self._report = report
        self._preview = preview
        self._seed = request.options.seed
        self._painter = make_painter(request.options.painter)
        self._scene = open_scene(request.scene)
        self._work = WorkFolder(request.output)
        self._refuse_hidden = request.intent == "complete"
        self._store = Store(
            self._scene, request.masks, self._work, keep_measured=self._refuse_hidden
        )
        self._workers = max(1, request.workers)
        self._timings: dict[str, float] = {}
        self._tiles: list[U8] = []

    def run(self) -> CompletionResult:
        """Go through all stages."""
        everyone = range(len(self._store))
        depth, world = self.fill_depth()
        planes = world.planes
        stages = ColorStages(
            self._store, depth.sources, depth.tolerances, self._painter, self._seed
        )
        resumed = sum(self._store.has("paint", k) for k in everyone)
        with self._timed("colors"):
            work = self._with_planes(stages.take_colors, planes)
            self._each("colors", "color", everyone, work, self._workers)
        with self._timed("atlas"):
            self._atlas(stages, planes)
        with self._timed("paint"):
            self._paint(stages, len(planes))
        with self._timed("write"):
            counts = self._write(stages.tolerances)
        filled = {name: int(counts[value]) for value, name in NAMES.items()}
        return CompletionResult(filled, dict(self._timings), resumed)

    @property
    def store(self) -> Store:
        """The views and the layers made so far."""
        return self._store

    def fill_depth(self) -> tuple[DepthStages, World]:
        """Go through the stages up to "depth"; return what the others need of them."""
        self._work.claim(self._request.content_hash)
        with self._timed("align"):
            stages = self._align()
        with self._timed("reproject"):
            everyone = range(len(self._store))
            self._each("reproject", "seen", everyone, stages.see, self._workers)
        with self._timed("planes"):
            world = self._search(stages)
        with self._timed("depth"):
            self._deepen(stages, world)
        return stages, world

    def _align(self) -> DepthStages:
        """Find the working frame, the sources of every view and the tolerances."""
        frame = settle_frame(self._store, self._report)
        return DepthStages(self._store, frame.sources, frame.tolerances, self._refuse_hidden)

    def _search(self, stages: DepthStages) -> World:
        """Find the planes of the world, and what stands or goes on unseen in the holes."""
        store, work = self._store, self._work
        self._report("planes", 0, 2, "searches")
        if not work.has("planes", _ALL):
            each_gives = points_a_view(len(store))
            clouds = [
                points_of_view(
                    store.camera(k), store.layer("seen", k)["depth"], each_gives, self._seed + k
                )
                for k in range(len(store))
            ]
            found = find_planes(clouds, stages.tolerances.plane, self._seed)
            work.save("planes", _ALL, {"planes": found})
        planes: F64 = work.load("planes", _ALL)["planes"]
        self._report("planes", 1, 2, "searches", f"{len(planes)} planes")
        if not work.has("bodies", _ALL):
            hidden = Hidden.none()
            if self._refuse_hidden:
                hidden = find_hidden(store, stages.sources, stages.tolerances.depth)
            work.save("bodies", _ALL, hidden.layer())
        hidden = Hidden.of(work.load("bodies", _ALL))
        if not work.has("faces", _ALL):
            found_faces = Faces.none()
            if not self._refuse_hidden:
                found_faces = find_faces(store, planes, stages.tolerances)
            work.save("faces", _ALL, found_faces.layer())
        faces = Faces.of(work.load("faces", _ALL))
        note = f"{len(planes)} planes, {len(hidden.bodies)} bodies, {len(faces.every)} faces"
        self._report("planes", 2, 2, "searches", note)
        return World(planes, hidden, faces)

    def _deepen(self, stages: DepthStages, world: World) -> None:
        """Fill depth view after view, so that each sees the earlier fill."""
        order = self._order(
            [
                int(
                    (
                        self._store.view(k).depth_hole
                        & (self._store.layer("seen", k)["depth"] <= 0)
                    ).sum()
                )
                for k in range(len(self._store))
            ]
        )
        filled: set[int] = set()

        def fill(k: int) -> None:
            stages.deepen(k, filled, world)

        for done, k in enumerate(order):
            self._report("depth", done, len(order), "views")
            if not self._store.has("depth", k):
                fill(k)
            filled.add(k)
        self._report("depth", len(order), len(order), "views")

    def _atlas(self, stages: ColorStages, planes: F64) -> None:
        self._report("atlas", 0, len(planes), "planes")
        done = 0

        def one_more() -> None:
            nonlocal done
            done += 1
            self._report("atlas", done, len(planes), "planes")

        def paint(p: int) -> None:
            if not self._work.has("atlas", f"plane_{p:03d}"):
                stages.paint_plane(p, planes[p])

        each(paint, range(len(planes)), self._workers, one_more)

    def _paint(self, stages: ColorStages, planes: int) -> None:
        """Paint what is left view after view, so that each sees what was painted before."""
        order = self._order(
            [
                int((self._store.layer("color", k)["plane"] >= 0).sum())
                for k in range(len(self._store))
            ]
        )
        painted: set[int] = set()
        for done, k in enumerate(order):
            self._report("paint", done, len(order), "views")
            if not self._store.has("paint", k):
                stages.finish(k, painted, planes)
                self._show(k, done, len(order))
            painted.add(k)
        self._report("paint", len(order), len(order), "views")

    def _show(self, k: int, done: int, total: int) -> None:
        """Keep every few views as a tile and show a picture of the last ones."""
        self._tiles = [*self._tiles, self._tile(k)][-_TILES:]
        if done % max(1, total // _SHEETS) == 0:
            self._write_preview(self._tiles)

    def _tile(self, k: int) -> U8:
        view = self._store.view(k)
        hole = view.color_hole | view.depth_hole
        return tile(view.image, hole, self._store.layer("paint", k)["image"])

    def _write_preview(self, tiles: list[U8]) -> None:
        # One name for all: whoever is told of a picture finds it, or a newer one.
        path = self._request.output / PREVIEW_NAME
        write_sheet(path, tiles)
        self._preview(path)

    def _write(self, tolerances: Tolerances) -> I64:
        output = Output(self._request.output, self._store, self._scene)
        counts = np.zeros(256, np.int64)
        total = len(self._store)

        def write(k: int) -> None:
            output.write_view(k)

        self._each("write", "", range(total), write, self._workers)
        for k in range(total):
            counts += output.counts(k)
        sparse = self._scene.root / SPARSE_POINTS_PATH
        if self._scene.transforms.has_sparse_points:
            shutil.copyfile(sparse, self._request.output / SPARSE_POINTS_PATH)
        output.finish(completed_info(self._scene.info, self._request, tolerances, self._timings))
        # The completion keeps a picture of its own, the same however often it was interrupted.
        shown = np.linspace(0, total - 1, min(_TILES, total)).round().astype(int)
        self._write_preview([self._tile(int(k)) for k in shown])
        self._work.remove()
        return counts

    def _order(self, missing: list[int]) -> list[int]:
        """Return the views: the one that lacks most, then those next to it."""
        first = int(np.argmax(missing))
        return sorted(range(len(missing)), key=lambda k: (abs(k - first), k))

    def _with_planes(self, work: Callable[[int, F64], None], planes: F64) -> Callable[[int], None]:
        return lambda k: work(k, planes)

    def _each(
        self,
        stage: str,
        layer: str,
        views: Sequence[int],
        work: Callable[[int], None],
        workers: int,
    ) -> None:
        """Do the views that have no layer yet, several at a time."""
        rest = [k for k in views if not (layer and self._store.has(layer, k))]
        done = len(views) - len(rest)
        self._report(stage, done, len(views), "views", f"{done} from before" if done else "")

        def one_more() -> None:
            nonlocal done
            done += 1
            self._report(stage, done, len(views), "views")

        each(work, rest, workers, one_more)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start_s = time.monotonic()
        yield
        self._timings[stage] = round(time.monotonic() - start_s, 3)
