"""Loop closure: places that return, a graph of the chunks, and what it makes of each frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from epipar_depth.chunks.drift import DriftFigures, LoopFigures
from epipar_depth.chunks.journal import Journal
from epipar_depth.chunks.loops import Loop, measure_loop
from epipar_depth.chunks.places import Features, features_of, find_revisits
from epipar_depth.chunks.prediction import ChunkPredictor
from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.chunks.sink import FrameCorrection, FrameSink
from epipar_kit.errors import CallEndedError
from epipar_kit.events import Report
from epipar_scene.arrays import F64, U8
from epipar_scene.pose_graph import Link, solve_pose_graph
from epipar_scene.rotations import rotations_from_vectors, vectors_from_rotations
from epipar_scene.similarity import Similarity

_LEAST_TRUST = 0.1
_LEAST_DEVIATION = 0.01  # of a joint, over depth
_LOOKED_AT = 1000  # frames, at most, that are searched for places
_MOST_LOOPS = 40


@dataclass(frozen=True, slots=True, eq=False)
class _Anchor:
    """The middle new frame of a chunk, which stands for it in the graph.

    Attributes:
        frame: its index.
        place: its camera, with the depth of what it sees as unit of length.
    """

    frame: int
    place: Similarity


def close_loops(
    predictor: ChunkPredictor,
    sink: FrameSink,
    journal: Journal,
    settings: JoinSettings,
    pictures: Callable[[int], U8],
    report: Report,
    cancelled: Callable[[], bool],
    drift: DriftFigures,
) -> DriftFigures:
    """Find loops, correct what the sink has, and return the figures with the loops in them.

    Raises:
        CallEndedError: CANCELLED.
    """
    loops = _find_loops(predictor, journal, settings, pictures, report, cancelled)
    anchors = _anchors(journal)
    # Two visits that one anchor stands for would link it to itself.
    loops = [one for one in loops if _nearest(anchors, one.first) < _nearest(anchors, one.second)]
    if not loops:
        return drift
    links = _links(anchors, journal, loops)
    solved = solve_pose_graph([anchor.place for anchor in anchors], links)
    trust = solved.trust[len(anchors) - 1 :]
    path = _Path(anchors, solved.nodes)
    corrections = path.corrections(journal)
    if (trust >= _LEAST_TRUST).any():
        sink.correct(corrections)
    figures = [
        _figures(loop, float(believed), anchors, path)
        for loop, believed in zip(loops, trust, strict=True)
    ]
    return replace(drift, loops=tuple(figures))


def _find_loops(
    predictor: ChunkPredictor,
    journal: Journal,
    settings: JoinSettings,
    pictures: Callable[[int], U8],
    report: Report,
    cancelled: Callable[[], bool],
) -> list[Loop]:
    size = max(record.size for record in journal.records)
    step = max(1, size // 12, journal.done // _LOOKED_AT)
    frames = range(0, journal.done, step)
    shape = pictures(0).shape
    shelf = _Shelf(pictures, cancelled)

    def compared(done: int, total: int) -> None:
        if cancelled():
            raise CallEndedError("CANCELLED", "the prediction was cancelled")
        report("places", done, total, "pairs")

    revisits = find_revisits(
        frames,
        shelf.features,
        least_gap=min(size, max(2, journal.done // 2)),
        aspect=shape[1] / shape[0],
        seed=settings.seed,
        compared=compared,
    )[:_MOST_LOOPS]
    loops = []
    for done, revisit in enumerate(revisits):
        loop = measure_loop(predictor, journal, revisit, settings, cancelled)
        if loop is not None:
            loops.append(loop)
        report("loops", done + 1, len(revisits), "loops")
    return loops


class _Shelf:
    """Features of frames, packed: 0.1 MB each, for at most _LOOKED_AT frames."""

    def __init__(self, pictures: Callable[[int], U8], cancelled: Callable[[], bool]) -> None:
        self._pictures = pictures
        self._cancelled = cancelled
        self._known: dict[int, tuple[F64, U8]] = {}

    def features(self, frame: int) -> Features:
        if frame not in self._known:
            if self._cancelled():
                raise CallEndedError("CANCELLED", "the prediction was cancelled")
            found = features_of(frame, self._pictures(frame))
            # Roots of unit sums are 0 to 1; a byte keeps more than matching needs.
            packed = np.rint(255 * found.descriptors).astype(np.uint8)
            self._known[frame] = found.points, packed
        points, packed = self._known[frame]
        descriptors = packed.astype(np.float32)
        descriptors /= np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1)
        return Features(frame, points, descriptors)


def _anchors(journal: Journal) -> list[_Anchor]:
    anchors, unit = [], 1.0
    for record in journal.records:
        new = record.chunk.new_frames
        frame = new.start + len(new) // 2
        evidence = journal.evidence([frame])
        # A frame of the sky alone has no depth: the unit before goes on.
        unit = float(evidence.middle_depths()[0]) or unit
        pose = evidence.camera_to_world[0]
        anchors.append(_Anchor(frame, Similarity(unit, pose[:3, :3], pose[:3, 3])))
    return anchors


def _links(anchors: list[_Anchor], journal: Journal, loops: list[Loop]) -> list[Link]:
    links = []
    for k, record in enumerate(journal.records[1:], start=1):
        measured = anchors[k - 1].place.inverse().compose(anchors[k].place)
        links.append(Link(k - 1, k, measured, _deviation(record.joint.residual)))
    for loop in loops:
        first, second = _nearest(anchors, loop.first), _nearest(anchors, loop.second)
        moved = loop.closing.compose(anchors[second].place)
        measured = anchors[first].place.inverse().compose(moved)
        links.append(Link(first, second, measured, _deviation(loop.residual), may_be_false=True))
    return links


def _deviation(residual: float) -> F64:
    """Return what to expect of a joint: in place as its points say, half of it in turn and scale."""
    size = max(_LEAST_DEVIATION, residual)
    return size * np.array([1.0, 1, 1, 0.5, 0.5, 0.5, 0.5])


def _nearest(anchors: list[_Anchor], frame: int) -> int:
    return int(np.argmin([abs(anchor.frame - frame) for anchor in anchors]))


class _Path:
    """What the solved graph makes of each frame: between two anchors, something between."""

    def __init__(self, anchors: list[_Anchor], solved: tuple[Similarity, ...]) -> None:
        self._frames = np.array([anchor.frame for anchor in anchors])
        self._changes = [
            after.compose(anchor.place.inverse())
            for anchor, after in zip(anchors, solved, strict=True)
        ]

    def correction(self, frame: int, pose: F64) -> FrameCorrection:
        """Return the frame's camera and scale, by the anchors before and after it."""
        after = int(np.searchsorted(self._frames, frame))
        if after in {0, len(self._frames)}:
            change = self._changes[min(after, len(self._frames) - 1)]
            return FrameCorrection(frame, change.camera(pose), change.scale)
        ends = self._frames[after - 1 : after + 1]
        share = float((frame - ends[0]) / (ends[1] - ends[0]))
        one, other = self._changes[after - 1], self._changes[after]
        start, end = one.camera(pose), other.camera(pose)
        turn = vectors_from_rotations((start[:3, :3].T @ end[:3, :3])[np.newaxis])
        between = np.eye(4)
        between[:3, :3] = start[:3, :3] @ rotations_from_vectors(share * turn)[0]
        between[:3, 3] = (1 - share) * start[:3, 3] + share * end[:3, 3]
        return FrameCorrection(frame, between, one.scale ** (1 - share) * other.scale**share)

    def corrections(self, journal: Journal) -> list[FrameCorrection]:
        """Return those of all frames in the world."""
        result = []
        for record in journal.records:
            new = record.chunk.new_frames
            cameras = journal.evidence(new).camera_to_world
            result += [self.correction(f, c) for f, c in zip(new, cameras, strict=True)]
        return result

    def change(self, anchor: int) -> Similarity:
        """Return what became of an anchor."""
        return self._changes[anchor]


def _figures(loop: Loop, trust: float, anchors: list[_Anchor], path: _Path) -> LoopFigures:
    first, second = _nearest(anchors, loop.first), _nearest(anchors, loop.second)
    place = anchors[second].place
    before = place.inverse().compose(loop.closing.compose(place))
    wanted = path.change(first).compose(loop.closing.compose(place))
    after = path.change(second).compose(place).inverse().compose(wanted)
    turns = vectors_from_rotations(np.stack([before.rotation, after.rotation]))
    angles = np.degrees(np.linalg.norm(turns, axis=1))
    return LoopFigures(
        loop.first,
        loop.second,
        loop.matches,
        loop.residual,
        float(np.linalg.norm(before.translation)),
        float(np.linalg.norm(after.translation)),
        float(angles[0]),
        float(angles[1]),
        float(np.log(before.scale)),
        float(np.log(after.scale)),
        trust,
    )
