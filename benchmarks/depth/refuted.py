"""Where a scene's depth and the truth differ grossly, which of the two do the pictures show?

A laser scan lacks what a laser does not come back from: thin and black legs of chairs, glass, what
has been moved. There a right depth counts as an outlier. So both depths are asked of the pictures:
a small window is carried by each into the nearest views, and correlated. What is truly seen there
looks alike; the floor behind a chair does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.depth.score import Truth
from epipar_scene.arrays import F32, Bools
from epipar_scene.cameras import world_to_camera
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame

CLEARLY, SLIGHTLY = 0.3, 0.1  # differences of correlation
_GROSS = 1.25
_RIGHT = 1.03
_VIEWS = 16  # nearest ones that are asked
_BEST = 6  # of them that count: the others may not see the place
_HALF_PX = 3  # of the window
_NOISE = 5.0  # grey levels, added to a window's norm: plain windows are no evidence
_EVERY = 50  # of the right depths


@dataclass(frozen=True, slots=True)
class Refuted:
    """Shares of pixels; see the module.

    Attributes:
        gross: pixels with an error beyond 1.25.
        truth_refuted: of them, where the scene's depth correlates clearly better than the truth.
        depth_refuted: of them, where the truth correlates slightly better already.
        control_refuted: of right depths, where theirs correlates clearly better than the truth.
    """

    gross: int
    truth_refuted: float
    depth_refuted: float
    control_refuted: float

    def __str__(self) -> str:
        return (
            f"{self.gross} gross outliers: in {self.truth_refuted:.1%} of them the pictures refute "
            f"the truth (correlation higher by {CLEARLY} at the scene's depth; so are "
            f"{self.control_refuted:.1%} of right depths), in {self.depth_refuted:.1%} they prefer "
            f"it (by {SLIGHTLY})"
        )


def refuted(scene: SceneFolder, truth: Truth) -> Refuted:
    """Ask the pictures of a scene about its gross outliers."""
    scale, _ = truth.scale_of(scene)
    centres = np.array([frame.cam_to_world[:3, 3] for frame in scene.frames])
    greys = [cv2.cvtColor(scene.image(frame), cv2.COLOR_RGB2GRAY) for frame in scene.frames]
    gross: list[F32] = [np.zeros(0, np.float32)]
    control: list[F32] = [np.zeros(0, np.float32)]
    for number, frame in enumerate(scene.frames):
        exact = truth.depth(int(frame.source_frame))
        if exact is None:
            continue
        right = np.asarray(exact / scale, np.float32)
        depth = scene.depth(frame)
        both = (right > 0) & (depth > 0)
        ratio = np.ones_like(depth)
        ratio[both] = np.maximum(depth[both] / right[both], right[both] / depth[both])
        apart = np.linalg.norm(centres - centres[number], axis=1)
        near = [int(k) for k in np.argsort(apart, kind="stable")[1 : _VIEWS + 1]]
        others = [(scene.frames[k], np.asarray(greys[k], np.float32)) for k in near]

        asked = _Asked(frame, np.asarray(greys[number], np.float32), others, depth, right)
        gross.append(_preference(asked, both & (ratio > _GROSS)))
        control.append(_preference(asked, both & (ratio < _RIGHT) & _every(depth.shape)))
    outliers, rights = np.concatenate(gross), np.concatenate(control)
    return Refuted(
        outliers.size,
        _share(outliers, lambda values: values > CLEARLY),
        _share(outliers, lambda values: values < -SLIGHTLY),
        _share(rights, lambda values: values > CLEARLY),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    frame: Frame
    grey: F32
    others: list[tuple[Frame, F32]]
    depth: F32
    truth: F32


def _preference(asked: _Asked, where: Bools) -> F32:
    """Return (N,) how much more alike the views are at the scene's depth than at the truth."""
    ours = _likeness(asked.frame, asked.grey, asked.others, asked.depth, where)
    return ours - _likeness(asked.frame, asked.grey, asked.others, asked.truth, where)


def _share(values: np.ndarray, test: Callable[[np.ndarray], np.ndarray]) -> float:
    return float(test(values).mean()) if values.size else 0.0


def _every(shape: tuple[int, ...]) -> Bools:
    return np.asarray(np.arange(shape[0] * shape[1]).reshape(shape) % _EVERY == 0, bool)


def _likeness(
    frame: Frame, grey: F32, others: list[tuple[Frame, F32]], depth: F32, where: Bools
) -> F32:
    """Return (N,) how alike the best views are, at the pixels where, at this depth."""
    lens = frame.intrinsics
    rows, columns = np.nonzero(where)
    reach = np.arange(-_HALF_PX, _HALF_PX + 1)
    down, right = (each.ravel() for each in np.meshgrid(reach, reach, indexing="ij"))
    x = columns[:, None] + right + 0.5
    y = rows[:, None] + down + 0.5
    z = np.broadcast_to(depth[rows, columns][:, None], x.shape)
    points = np.stack([(x - lens.cx) / lens.fx * z, (y - lens.cy) / lens.fy * z, z], axis=-1)
    own, own_norm = _centred(grey, x, y)
    found = np.full((len(others), rows.size), -1.0, np.float32)
    for one, (other, picture) in zip(found, others, strict=True):
        there = world_to_camera(other.cam_to_world) @ frame.cam_to_world
        seen = points @ there[:3, :3].T + there[:3, 3]
        safe = np.maximum(seen[..., 2], 1e-9)
        u = other.intrinsics.fx * seen[..., 0] / safe + other.intrinsics.cx
        v = other.intrinsics.fy * seen[..., 1] / safe + other.intrinsics.cy
        height, width = picture.shape
        inside = (seen[..., 2] > 0) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
        theirs, norm = _centred(picture, u, v)
        alike = (own * theirs).sum(1) / (own_norm * norm)
        one[:] = np.where(inside.all(1), alike, -1)
    return np.asarray(np.sort(found, axis=0)[-_BEST:].mean(0), np.float32)


def _centred(picture: F32, x: np.ndarray, y: np.ndarray) -> tuple[F32, F32]:
    """Return (N, window) grey levels minus their mean, and (N,) their norm."""
    columns, rows = (x - 0.5).astype(np.float32), (y - 0.5).astype(np.float32)
    border = cv2.BORDER_REPLICATE
    values = np.zeros(columns.shape, np.float32)
    for start in range(0, len(columns), 30_000):  # the most rows that remap takes is 32,767
        part = slice(start, start + 30_000)
        if columns[part].size:
            values[part] = cv2.remap(
                picture, columns[part], rows[part], cv2.INTER_LINEAR, borderMode=border
            )
    values -= values.mean(axis=1, keepdims=True)
    return values, np.sqrt((values**2).sum(axis=1)) + np.float32(_NOISE)
