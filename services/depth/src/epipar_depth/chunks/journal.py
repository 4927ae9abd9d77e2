"""What the joiner keeps on disk: each chunk's place and evidence, so that a killed run goes on.

All that a chunk is aligned by is read from here, in a run that was killed and in one that was not;
that is why both come to the same end, and why memory does not grow with the video.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from epipar_depth.chunks.drift import JointFigures
from epipar_depth.chunks.evidence import Evidence, stacked
from epipar_depth.chunks.plan import Chunk
from epipar_depth.chunks.settings import JoinSettings
from epipar_scene.atomic import atomic_file
from epipar_scene.similarity import Similarity

_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class ChunkRecord:
    """A chunk that is in the world, and all its frames with the sink.

    Attributes:
        chunk: its frames.
        size: frames of a chunk at that time, after halvings.
        halvings: so far.
        similarity: from the chunk's world to the world.
        joint: how well it fits.
    """

    chunk: Chunk
    size: int
    halvings: int
    similarity: Similarity
    joint: JointFigures


class Journal:
    """The folder of one join.

    Args:
        folder: made if it is not there; emptied if it is of another video or other settings.
        count: frames of the video.
        settings: of the joiner.
    """

    def __init__(self, folder: Path, count: int, settings: JoinSettings) -> None:
        self._folder = folder
        mark = json.dumps({"version": _VERSION, "count": count, **asdict(settings)})
        path = folder / "journal.json"
        if not (path.exists() and path.read_text(encoding="utf-8") == mark):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            with atomic_file(path) as stream:
                stream.write(mark.encode())
        self.records = self._read_records()

    @property
    def done(self) -> int:
        """Frames that are in the world."""
        return self.records[-1].chunk.stop if self.records else 0

    def add(self, record: ChunkRecord, new: Evidence) -> None:
        """Keep a chunk and the evidence of its new frames, in the world; the sink has them."""
        with atomic_file(self._chunk_path(len(self.records))) as stream:
            np.savez(
                stream,
                record=np.array(json.dumps(_json_from_record(record))),
                pixels=new.pixels,
                depth=new.depth,
                confidence=new.confidence,
                camera_to_world=new.camera_to_world,
                intrinsics=new.intrinsics,
            )
        self.records.append(record)

    def forget_from(self, index: int) -> None:
        """Drop a chunk and all after it, and whatever was concluded from them."""
        for later in range(len(self.records) - 1, index - 1, -1):
            self._chunk_path(later).unlink()
        del self.records[index:]
        for concluded in self._folder.glob("loop_*.json"):
            concluded.unlink()

    def evidence(self, frames: Iterable[int]) -> Evidence:
        """Return the evidence of frames that are in the world, in their order."""
        wanted = list(frames)
        parts: list[Evidence] = []
        while wanted:
            index = next(k for k, r in enumerate(self.records) if wanted[0] in r.chunk.new_frames)
            new = self.records[index].chunk.new_frames
            length = 1
            while length < len(wanted) and wanted[length] == wanted[length - 1] + 1 < new.stop:
                length += 1
            start = wanted[0] - new.start
            parts.append(self._read_evidence(index).part(start, start + length))
            del wanted[:length]
        return stacked(parts)

    def note(self, name: str, value: dict[str, Any]) -> None:
        """Keep a small conclusion about the chunks."""
        with atomic_file(self._folder / f"{name}.json") as stream:
            stream.write(json.dumps(value).encode())

    def noted(self, name: str) -> dict[str, Any] | None:
        """Return a conclusion that was kept; None where there is none."""
        path = self._folder / f"{name}.json"
        return dict(json.loads(path.read_bytes())) if path.exists() else None

    def _chunk_path(self, index: int) -> Path:
        return self._folder / f"chunk_{index:05d}.npz"

    def _read_records(self) -> list[ChunkRecord]:
        records: list[ChunkRecord] = []
        while (path := self._chunk_path(len(records))).exists():
            with np.load(path, allow_pickle=False) as stored:
                records.append(_record_from_json(json.loads(str(stored["record"]))))
        return records

    def _read_evidence(self, index: int) -> Evidence:
        with np.load(self._chunk_path(index), allow_pickle=False) as stored:
            return Evidence(
                stored["pixels"],
                stored["depth"],
                stored["confidence"],
                stored["camera_to_world"],
                stored["intrinsics"],
            )


def json_from_similarity(similarity: Similarity) -> dict[str, Any]:
    """Return the similarity as JSON values; similarity_from_json is its inverse, bit for bit."""
    return {
        "scale": similarity.scale,
        "rotation": similarity.rotation.tolist(),
        "translation": similarity.translation.tolist(),
    }


def similarity_from_json(value: dict[str, Any]) -> Similarity:
    """Read a similarity back."""
    return Similarity(value["scale"], np.array(value["rotation"]), np.array(value["translation"]))


def _json_from_record(record: ChunkRecord) -> dict[str, Any]:
    return {
        "chunk": asdict(record.chunk),
        "size": record.size,
        "halvings": record.halvings,
        "similarity": json_from_similarity(record.similarity),
        "joint": asdict(record.joint),
    }


def _record_from_json(value: dict[str, Any]) -> ChunkRecord:
    return ChunkRecord(
        Chunk(**value["chunk"]),
        value["size"],
        value["halvings"],
        similarity_from_json(value["similarity"]),
        JointFigures(**value["joint"]),
    )
