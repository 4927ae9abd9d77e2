"""The peer: chunks chained by the plain Umeyama fit of the overlap's camera centres, unweighted."""

from __future__ import annotations

import numpy as np

from epipar_depth.chunks.plan import next_chunk
from epipar_depth.chunks.prediction import ChunkPredictor
from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.chunks.sink import FrameSink, JoinedFrame
from epipar_scene.similarity import Similarity, umeyama


def chain(predictor: ChunkPredictor, sink: FrameSink, count: int, settings: JoinSettings) -> None:
    """Hand all frames to the sink.

    Raises:
        ValueError: the centres of an overlap stand on a line or at one place.
    """
    done, centres = 0, np.zeros((count, 3))
    while done < count:
        chunk = next_chunk(done, count, settings.chunk_frames, settings.overlap_share)
        prediction = predictor.predict(chunk.frames)
        moved_by = Similarity.identity()
        if done:
            overlap = prediction.camera_to_world[: len(chunk.old_frames), :3, 3]
            moved_by = umeyama(overlap, centres[chunk.first : chunk.new])
        for frame in chunk.new_frames:
            place = frame - chunk.first
            pose = moved_by.camera(prediction.camera_to_world[place])
            centres[frame] = pose[:3, 3]
            sink.put(
                JoinedFrame(
                    frame,
                    prediction.depth[place] * np.float32(moved_by.scale),
                    prediction.confidence[place],
                    None,
                    pose,
                    prediction.intrinsics[place],
                )
            )
        done = chunk.stop
