"""The engine "fusion": what another view has seen, planes for the rest, and paint put on in 3D.

Stages, in order: align, reproject, planes, depth, colors, atlas, paint, write. Each leaves its
results view by view in the work folder, so a run that was killed goes on where it stood and ends
with the same bytes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np

from epipar_inpaint.engine import Capabilities, CompletionRequest, CompletionResult, Preview
from epipar_inpaint.fusion.align import refine
from epipar_inpaint.fusion.alignment import Alignment, Tolerances
from epipar_inpaint.fusion.output import Output
from epipar_inpaint.fusion.overlap import choose_sources, overlaps, sample_points
from epipar_inpaint.fusion.planes import find_planes, points_a_view, points_of_view
from epipar_inpaint.fusion.preview import tile, write_sheet
from epipar_inpaint.fusion.provenance import NAMES
from epipar_inpaint.fusion.residuals import measure_gains, measure_tolerances
from epipar_inpaint.fusion.stages import Stages
from epipar_inpaint.fusion.store import Store, WorkFolder
from epipar_inpaint.fusion.threads import each
from epipar_inpaint.painters import PAINTER_NAMES, make_painter
from epipar_inpaint.scenes import corrupt_artifacts, open_scene
from epipar_kit.errors import InvalidInputError, typed_storage_errors
from epipar_kit.events import Report
from epipar_scene.arrays import F64, I64, U8
from epipar_scene.scene_info import SceneEngine, SceneInfo
from epipar_scene.transforms import SPARSE_POINTS_PATH

NAME = "fusion"
VERSION = "1.0.0"
CAPABILITIES = Capabilities(
    version=VERSION,
    description="Other views, world planes and exemplars; needs no weights and no GPU.",
    licence="Apache-2.0",
    needs_gpu=False,
    painters=PAINTER_NAMES,
)

_MOST_SOURCES = 12
_SHEETS, _TILES = 6, 3
PREVIEW_NAME = "preview.jpg"
_ALL = "all"  # name of a layer that concerns all views


class FusionEngine:
    """Completes scenes on a CPU."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; see engine.CompletionEngine."""
        return CAPABILITIES

    def complete(
        self, request: CompletionRequest, report: Report, preview: Preview
    ) -> CompletionResult:
        """Fill request.output with a completed scene; see engine.CompletionEngine.

        Raises:
            InvalidInputError: BAD_OPTION, the painter or an option does not exist.
            CorruptArtifactError: a file of the scene or of the masks is not what it must be.
        """
        if request.options.extra:
            name = min(request.options.extra)
            raise InvalidInputError(
                "BAD_OPTION",
                f"options.{name}",
                f"option {name[:80]!r} does not exist in engine {NAME!r}",
            )
        with typed_storage_errors(), corrupt_artifacts():
            return _Run(request, report, preview).run()


class _Run:
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
        self._work.claim(self._request.content_hash)
        count = len(self._store)
        everyone = range(count)
        resumed = sum(self._store.has("paint", k) for k in everyone)
        with self._timed("align"):
            stages = self._align()
        with self._timed("reproject"):
            self._each("reproject", "seen", everyone, stages.see, self._workers)
        with self._timed("planes"):
            planes = self._planes()
        with self._timed("depth"):
            self._deepen(stages, planes)
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

    def _align(self) -> Stages:
        """Find the working frame, the sources of every view and the tolerances."""
        store = self._store
        count = len(store)
        self._report("align", 0, count, "views")
        if not self._work.has("align", _ALL):
            points = []
            for k in range(count):
                points.append(sample_points(store.camera(k), store.view(k).depth))
                self._report("align", k + 1, count, "views")
            cameras = [store.camera(k) for k in range(count)]
            sources = choose_sources(overlaps(cameras, points), cameras, _MOST_SOURCES)
            refined = refine(store, sources)
            first = Alignment(refined.poses, refined.scales, np.ones((count, 3)))
            store.align(first)
            gains = measure_gains(store, sources)
            store.align(Alignment(first.poses, first.scales, gains))
            found = measure_tolerances(store, sources)
            table = np.full((count, _MOST_SOURCES), -1, np.int64)
            for k, chosen in enumerate(sources):
                table[k, : len(chosen)] = chosen
            layer = {
                "poses": first.poses,
                "scales": first.scales,
                "gains": gains,
                "sources": table,
                "tolerances": np.array([found.depth, found.color, found.plane]),
            }
            self._work.save("align", _ALL, layer)
        kept = self._work.load("align", _ALL)
        store.align(Alignment(kept["poses"], kept["scales"], kept["gains"]))
        self._report("align", count, count, "views")
        return Stages(
            store=store,
            sources=[[int(k) for k in row if k >= 0] for row in kept["sources"]],
            tolerances=Tolerances(*(float(v) for v in kept["tolerances"])),
            refuse_hidden=self._refuse_hidden,
            painter=self._painter,
            seed=self._seed,
        )

    def _planes(self) -> F64:
        self._report("planes", 0, 1, "searches")
        if not self._work.has("planes", _ALL):
            store = self._store
            each_gives = points_a_view(len(store))
            clouds = [
                points_of_view(
                    store.camera(k), store.layer("seen", k)["depth"], each_gives, self._seed + k
                )
                for k in range(len(store))
            ]
            tolerance = float(self._work.load("align", _ALL)["tolerances"][2])
            self._work.save("planes", _ALL, {"planes": find_planes(clouds, tolerance, self._seed)})
        planes: F64 = self._work.load("planes", _ALL)["planes"]
        self._report("planes", 1, 1, "searches", f"{len(planes)} planes")
        return planes

    def _deepen(self, stages: Stages, planes: F64) -> None:
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
            stages.deepen(k, filled, planes)

        for done, k in enumerate(order):
            self._report("depth", done, len(order), "views")
            if not self._store.has("depth", k):
                fill(k)
            filled.add(k)
        self._report("depth", len(order), len(order), "views")

    def _atlas(self, stages: Stages, planes: F64) -> None:
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

    def _paint(self, stages: Stages, planes: int) -> None:
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
        output.finish(self._info(tolerances))
        # The completion keeps a picture of its own, the same however often it was interrupted.
        shown = np.linspace(0, total - 1, min(_TILES, total)).round().astype(int)
        self._write_preview([self._tile(int(k)) for k in shown])
        self._work.remove()
        return counts

    def _info(self, tolerances: Tolerances) -> SceneInfo:
        given = self._scene.info
        options = {
            "intent": self._request.intent,
            "seed": self._seed,
            "painter": self._request.options.painter,
        }
        metrics = {
            **given.metrics,
            "completion_depth_tolerance": tolerances.depth,
            "completion_color_tolerance": tolerances.color,
        }
        return SceneInfo(
            content_hash=self._request.content_hash,
            source=given.source,
            engine=SceneEngine(NAME, VERSION),
            options=options,
            scale=given.scale,
            confidence_kind=given.confidence_kind,
            counts=given.counts,
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            unregistered=given.unregistered,
            timings=self._timings,
            metrics=metrics,
        )

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
