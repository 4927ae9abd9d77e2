"""Where the stages find their views and leave their results.

Views are read from the scene when they are asked for and kept while there is room, so memory does
not grow with the number of views. What a stage makes of a view (a layer) is written to the work
folder inside the unfinished completion, each file whole or not at all: a run that was killed goes
on from what is there.
"""

from __future__ import annotations

import shutil
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from epipar_inpaint.fusion.alignment import Alignment
from epipar_inpaint.fusion.views import SKY, Camera, View
from epipar_inpaint.masks.holes import Holes
from epipar_inpaint.masks.mask_set import read_holes
from epipar_kit.errors import CorruptArtifactError
from epipar_scene.atomic import atomic_file
from epipar_scene.errors import SceneFormatError
from epipar_scene.folder import SceneFolder

Layer: TypeAlias = Mapping[str, np.ndarray[Any, Any]]

_CACHE_BYTES = 512 << 20


class WorkFolder:
    """The unfinished work of a completion, in ``<completion>/.fusion``."""

    def __init__(self, output: Path) -> None:
        self.root = output / ".fusion"

    def claim(self, content_hash: str) -> None:
        """Keep the folder's work if it is of this hash, else begin anew."""
        mark = self.root / "content_hash"
        if self.root.exists() and not (mark.exists() and mark.read_text() == content_hash):
            shutil.rmtree(self.root)
        self.root.mkdir(parents=True, exist_ok=True)
        with atomic_file(mark) as stream:
            stream.write(content_hash.encode())

    def save(self, stage: str, name: str, layer: Layer) -> None:
        """Write what a stage made of a view."""
        path = self._path(stage, name)
        path.parent.mkdir(exist_ok=True)
        with atomic_file(path) as stream:
            np.savez(stream, **layer)  # type: ignore[arg-type]  # the stub takes the names for flags

    def load(self, stage: str, name: str) -> Layer:
        """Read what save() wrote."""
        with np.load(self._path(stage, name), allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}

    def has(self, stage: str, name: str) -> bool:
        """Whether a stage is done with a view."""
        return self._path(stage, name).exists()

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _path(self, stage: str, name: str) -> Path:
        return self.root / stage / f"{name}.npz"


class Store:
    """The views of a scene and the layers of its completion; safe to use from several threads.

    Args:
        scene: the scene.
        masks: folder of the mask set, with color/ and depth/.
        work: where layers are kept.
        keep_measured: hand out doubtful depth as a candidate (not where things are taken away).
        cache_bytes: bound of what is kept in memory.
    """

    def __init__(
        self,
        scene: SceneFolder,
        masks: Path,
        work: WorkFolder,
        *,
        keep_measured: bool,
        cache_bytes: int = _CACHE_BYTES,
    ) -> None:
        self.scene = scene
        self.work = work
        self.alignment = Alignment.identity([f.cam_to_world for f in scene.frames])
        self._masks = masks.resolve()
        self._keep_measured = keep_measured
        self._limit = cache_bytes
        self._held: OrderedDict[tuple[str, int], tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.scene.frames)

    def name(self, k: int) -> str:
        """Return the name of a view."""
        return self.scene.frames[k].name

    def camera(self, k: int) -> Camera:
        """Return the camera of a view in the working frame."""
        return Camera.of(self.scene.frames[k].intrinsics, self.alignment.poses[k])

    def align(self, alignment: Alignment) -> None:
        """Set the working frame; views are read anew."""
        with self._lock:
            self._held.clear()
            self._bytes = 0
            self.alignment = alignment

    def view(self, k: int) -> View:
        """Return a view as it came.

        Raises:
            CorruptArtifactError: a mask is missing, of another size, or not binary.
        """
        held = self._held_value("view", k)
        if held is None:
            held = self._read_view(k)
            self._hold("view", k, held, held.nbytes)
        return held  # type: ignore[no-any-return]  # the cache holds values of several types

    def layer(self, stage: str, k: int) -> Layer:
        """Return what a stage made of a view."""
        held = self._held_value(stage, k)
        if held is None:
            held = self.work.load(stage, self.name(k))
            self._hold(stage, k, held, sum(array.nbytes for array in held.values()))
        return held  # type: ignore[no-any-return]  # the cache holds values of several types

    def put(self, stage: str, k: int, layer: Layer) -> None:
        """Keep what a stage made of a view."""
        self.work.save(stage, self.name(k), layer)
        self._hold(stage, k, layer, sum(array.nbytes for array in layer.values()))

    def has(self, stage: str, k: int) -> bool:
        """Whether a stage is done with a view."""
        return self.work.has(stage, self.name(k))

    def _read_view(self, k: int) -> View:
        frame = self.scene.frames[k]
        measured = self.scene.depth(frame) * np.float32(self.alignment.scales[k])
        sky = self.scene.sky(frame)
        holes = self._holes(k)
        color_hole, depth_hole = holes.color, holes.depth
        depth = np.where(depth_hole, np.float32(0), measured)
        if sky is not None:
            depth_hole = depth_hole & ~sky
            depth = np.where(sky, SKY, depth)
        doubtful = depth_hole & ~color_hole & self._keep_measured
        return View(
            camera=self.camera(k),
            image=self.scene.image(frame),
            depth=depth,
            measured=np.where(doubtful, measured, np.float32(0)),
            color_hole=color_hole,
            depth_hole=depth_hole,
            gain=self.alignment.gains[k],
        )

    def _holes(self, k: int) -> Holes:
        try:
            return read_holes(self._masks, self.scene.frames[k])
        except SceneFormatError as error:
            raise CorruptArtifactError("CORRUPT_ARTIFACT", str(error)) from None

    def _held_value(self, kind: str, k: int) -> Any:
        with self._lock:
            if (kind, k) not in self._held:
                return None
            self._held.move_to_end((kind, k))
            return self._held[kind, k][0]

    def _hold(self, kind: str, k: int, value: Any, size: int) -> None:
        with self._lock:
            if (kind, k) in self._held:
                self._bytes -= self._held.pop((kind, k))[1]
            self._held[kind, k] = (value, size)
            self._bytes += size
            while self._bytes > self._limit and len(self._held) > 1:
                self._bytes -= self._held.popitem(last=False)[1][1]
