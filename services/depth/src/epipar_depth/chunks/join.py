"""The joiner: chunk after chunk into one world, each on disk before the next is predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np

from epipar_depth.chunks.align import Joint, OverlapError, align
from epipar_depth.chunks.closing import close_loops
from epipar_depth.chunks.drift import DriftFigures, JointFigures
from epipar_depth.chunks.evidence import Evidence, evidence_of
from epipar_depth.chunks.journal import ChunkRecord, Journal
from epipar_depth.chunks.plan import Chunk, next_chunk
from epipar_depth.chunks.prediction import (
    ChunkPrediction,
    ChunkPredictor,
    OutOfMemory,
    asked,
)
from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.chunks.sink import FrameSink, JoinedFrame
from epipar_depth.poses import LEAST_REGISTERED_SHARE
from epipar_kit.errors import CallEndedError, InvalidInputError, LimitExceededError
from epipar_kit.events import Report
from epipar_scene.arrays import U8
from epipar_scene.similarity import Similarity

Pictures = Callable[[int], U8]
"""Returns (H, W) grey levels of a frame: the predictor's crop of it, at any resolution."""


@dataclass(frozen=True, slots=True)
class JoinResult:
    """What became of the frames.

    Attributes:
        joined: frames 0 to joined - 1 are with the sink.
        unjoined: the others, at the end of the video, which did not fit the world.
        resumed: frames taken over from a run that was killed.
        drift: how well it holds together.
    """

    joined: int
    unjoined: tuple[int, ...]
    resumed: int
    drift: DriftFigures


def join_chunks(
    predictor: ChunkPredictor,
    sink: FrameSink,
    count: int,
    folder: Path,
    settings: JoinSettings | None = None,
    *,
    pictures: Pictures | None = None,
    report: Report | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> JoinResult:
    """Predict frames 0 to count - 1 in overlapping chunks and hand each, once, to the sink.

    The world is that of the first chunk. Memory is that of one prediction, whatever the length.

    Args:
        predictor: the model.
        sink: gets the frames, and at the end corrections where loops were closed.
        count: frames, at least 1.
        folder: for what a killed run goes on from; the caller removes it when the scene stands.
        settings: how to join.
        pictures: of frames, to find places that return; None: no loops are looked for.
        report: told the stages "depth", "places" and "loops".
        cancelled: asked before each prediction.

    Raises:
        InvalidInputError: SPLIT_MODEL, a chunk does not fit the world and less than 80 % of the
            frames are in it; TOO_FEW_FRAMES, count is below 1.
        LimitExceededError: OUT_OF_MEMORY with the fewest frames that may be asked for.
        CallEndedError: CANCELLED; what is on disk is kept and gone on from.
    """
    if count < 1:
        raise InvalidInputError("TOO_FEW_FRAMES", "source", f"there are {count} frames, not 1")
    used = settings or JoinSettings()
    tell = report or _silent
    journal = Journal(folder, count, used)
    join = _Join(predictor, sink, count, journal, used, cancelled)
    resumed = join.resume()
    tell("depth", resumed, count, "frames", f"{resumed} from before" if resumed else "")
    while journal.done < count and join.step():
        tell("depth", journal.done, count, "frames")
    joined = journal.done
    drift = DriftFigures(
        tuple(record.joint for record in journal.records),
        out_of_memory=journal.records[-1].halvings,
    )
    if used.close_loops and pictures is not None and len(journal.records) > 1:
        drift = close_loops(predictor, sink, journal, used, pictures, tell, cancelled, drift)
    return JoinResult(joined, tuple(range(joined, count)), resumed, drift)


class _Join:
    """One video on its way."""

    def __init__(
        self,
        predictor: ChunkPredictor,
        sink: FrameSink,
        count: int,
        journal: Journal,
        settings: JoinSettings,
        cancelled: Callable[[], bool],
    ) -> None:
        self._predictor = predictor
        self._sink = sink
        self._count = count
        self._journal = journal
        self._settings = settings
        self._cancelled = cancelled
        last = journal.records[-1] if journal.records else None
        self._size = last.size if last else settings.chunk_frames
        self._halvings = last.halvings if last else 0

    def resume(self) -> int:
        """Forget chunks whose frames the sink has not; return how many frames are left."""
        for index, record in enumerate(self._journal.records):
            if not all(self._sink.has(frame) for frame in record.chunk.new_frames):
                self._journal.forget_from(index)
                last = self._journal.records[-1] if index else None
                self._size = last.size if last else self._settings.chunk_frames
                self._halvings = last.halvings if last else 0
                break
        return self._journal.done

    def step(self) -> bool:
        """Join one chunk; return whether the video may go on."""
        share = self._settings.overlap_share
        failures: list[str] = []
        # A joint that failed gets a second chance with more overlap.
        for overlap in (share, (1 + share) / 2):
            try:
                self._join(overlap)
            except OverlapError as error:
                failures.append(str(error))
            else:
                return True
        done = self._journal.done
        if done >= LEAST_REGISTERED_SHARE * self._count:
            return False
        raise InvalidInputError(
            "SPLIT_MODEL",
            "source",
            f"{done} of {self._count} frames fit into one model, at least "
            f"{LEAST_REGISTERED_SHARE:.0%} are needed: at frame {done} {failures[-1]}",
            registered=done,
            frames=self._count,
            chunks=len(self._journal.records),
        )

    def _join(self, overlap: float) -> None:
        chunk, prediction = self._predict(overlap)
        evidence = evidence_of(prediction, self._settings.samples)
        old = len(chunk.old_frames)
        joint = None
        if old:
            world = self._journal.evidence(chunk.old_frames)
            joint = align(world, evidence.part(0, old), self._settings)
        similarity = joint.similarity if joint else Similarity.identity()
        for frame in chunk.new_frames:
            self._sink.put(_joined(prediction, frame - chunk.first, frame, similarity))
        self._record(chunk, joint, evidence.part(old, len(evidence)).moved(similarity))

    def _record(self, chunk: Chunk, joint: Joint | None, new: Evidence) -> None:
        figures = JointFigures(chunk.first, chunk.new, "start", 1.0, 0.0, 0.0, 0.0, 0.0)
        similarity = Similarity.identity()
        if joint is not None:
            similarity = joint.similarity
            figures = JointFigures(
                chunk.first,
                chunk.new,
                joint.method,
                joint.inlier_share,
                joint.residual,
                joint.turn_deg,
                joint.shift,
                log(similarity.scale / self._journal.records[-1].similarity.scale),
            )
        record = ChunkRecord(chunk, self._size, self._halvings, similarity, figures)
        self._journal.add(record, new)

    def _predict(self, overlap: float) -> tuple[Chunk, ChunkPrediction]:
        """Ask for the next chunk, and for smaller ones while there is no memory."""
        while True:
            if self._cancelled():
                raise CallEndedError("CANCELLED", "the prediction was cancelled")
            chunk = next_chunk(self._journal.done, self._count, self._size, overlap)
            try:
                return chunk, asked(self._predictor, chunk.frames)
            except OutOfMemory:
                self._size = halved(len(chunk.frames), self._settings.least_chunk_frames)
                self._halvings += 1


def halved(frames: int, least: int) -> int:
    """Return how many frames to ask for after so many were too many.

    Raises:
        LimitExceededError: OUT_OF_MEMORY, it would be fewer than the least.
    """
    if frames // 2 < least:
        raise LimitExceededError(
            "OUT_OF_MEMORY",
            f"there is no memory for {frames} frames at once; at least {least} must fit",
            subject="memory",
            frames=frames,
        )
    return frames // 2


def _joined(
    prediction: ChunkPrediction, position: int, frame: int, similarity: Similarity
) -> JoinedFrame:
    return JoinedFrame(
        frame,
        prediction.depth[position] * np.float32(similarity.scale),
        prediction.confidence[position],
        None if prediction.sky is None else prediction.sky[position],
        similarity.camera(prediction.camera_to_world[position]),
        prediction.intrinsics[position],
    )


def _silent(stage: str, done: int, total: int, unit: str, message: str = "") -> None:
    """Tell nobody."""
