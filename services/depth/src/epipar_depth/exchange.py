"""What a view learns from the depth that others have kept.

A pixel that a view could not match alone, at the outline of a thing before which the wall behind it
lies half hidden, say, is often plain to others. So the depth they have kept is carried over: each
pixel takes the surface that most of them put there and few look through. What a view has kept
itself is asked again, too: kept depth is a better witness than matched depth, of which half may be
wrong. Nothing is made up: each depth is one that at least two views measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_depth.consistency import single
from epipar_depth.jit import njit
from epipar_scene.arrays import F32, F64, U8
from epipar_scene.cameras import world_to_camera

NOTHING, OTHERS, OWN, KEPT = 0, 1, 2, 3  # whose a depth is
_LEAST_TOLERANCE = 0.008
_CLEARLY = np.float32(4)  # tolerances beyond which a depth is another surface
_THROUGH_COST = np.float32(2)  # agreeing views that one that looks through outweighs
_HIDDEN_COST = np.float32(0.25)  # and one before which something else stands
_OWN_BONUS = np.float32(0.5)
_MOST_DIFFERENCE = np.float32(50)  # grey levels


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the others' kept depth says of each pixel; all (H, W).

    Attributes:
        depth: the surface most views agree on; 0 = no one knows.
        whose: KEPT by the view before, its OWN but not kept, OTHERS', or NOTHING.
        agreeing: sources that agree with it.
        visible: sources that have the point inside their image.
        through: sources that look through it to something clearly farther.
        hidden: sources before which something clearly nearer stands.
        disagreement: mean relative difference of the agreeing depths.
        difference: mean difference in grey levels to the agreeing views.
    """

    depth: F32
    whose: U8
    agreeing: F32
    visible: F32
    through: F32
    hidden: F32
    disagreement: F32
    difference: F32


@njit(fastmath=True, error_model="numpy", cache=True)
def _carry(depth: F32, kept: F32, lens: F32, there: F32, carried: F32) -> None:
    """Draw a source's depth into the view, nearest first, where the view has none."""
    height, width = depth.shape
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    half = np.float32(0.5)
    per_x, per_y = np.float32(1) / fx, np.float32(1) / fy
    right, bottom = np.float32(width), np.float32(height)
    zero = np.float32(0)
    for y in range(height):
        ray_y = (np.float32(y) + half - cy) * per_y
        base_x = there[0, 1] * ray_y + there[0, 2]
        base_y = there[1, 1] * ray_y + there[1, 2]
        base_z = there[2, 1] * ray_y + there[2, 2]
        for x in range(width):
            z = depth[y, x]
            if z <= zero:
                continue
            ray_x = (np.float32(x) + half - cx) * per_x
            far = (there[2, 0] * ray_x + base_z) * z + there[2, 3]
            if far <= zero:
                continue
            scale = np.float32(1) / far
            u = fx * ((there[0, 0] * ray_x + base_x) * z + there[0, 3]) * scale + cx
            v = fy * ((there[1, 0] * ray_x + base_y) * z + there[1, 3]) * scale + cy
            if u < zero or v < zero or u >= right or v >= bottom:
                continue
            column, row = np.int32(u), np.int32(v)
            if kept[row, column] > zero:
                continue
            before = carried[row, column]
            if before == zero or far < before:
                carried[row, column] = far


@njit(fastmath=True, error_model="numpy", cache=True, inline="never")
def _ask(
    z: np.float32,
    x: int,
    y: int,
    sources: F32,
    lens: F32,
    there: F32,
    back: F32,
    tolerance: np.float32,
    answer: F32,
    agreed: U8,
) -> None:
    """Ask all sources of one depth: agreeing, visible, through, hidden, lost, inverse."""
    count, height, width = sources.shape
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    half, zero, one = np.float32(0.5), np.float32(0), np.float32(1)
    per_x, per_y = np.float32(1) / fx, np.float32(1) / fy
    px = (np.float32(x) + half - cx) * per_x * z
    py = (np.float32(y) + half - cy) * per_y * z
    clear = _CLEARLY * tolerance
    right, bottom = np.float32(width), np.float32(height)
    agreeing, visible, through, hidden, lost, inverse = zero, zero, zero, zero, zero, zero
    for s in range(count):
        m = there[s]
        agreed[s] = 0
        zs = m[2, 0] * px + m[2, 1] * py + m[2, 2] * z + m[2, 3]
        if zs <= zero:
            continue
        scale = one / zs
        u = fx * (m[0, 0] * px + m[0, 1] * py + m[0, 2] * z + m[0, 3]) * scale + cx
        v = fy * (m[1, 0] * px + m[1, 1] * py + m[1, 2] * z + m[1, 3]) * scale + cy
        if u < zero or v < zero or u >= right or v >= bottom:
            continue
        visible += one
        column, row = np.int32(u), np.int32(v)
        found = sources[s, row, column]
        if found <= zero:
            continue
        if found > zs * (one + clear):
            through += one
        elif found < zs * (one - clear):
            hidden += one
        else:
            b = back[s]
            qx = (np.float32(column) + half - cx) * per_x
            qy = (np.float32(row) + half - cy) * per_y
            here = (b[2, 0] * qx + b[2, 1] * qy + b[2, 2]) * found + b[2, 3]
            error = abs(here - z)
            if here > zero and error < tolerance * z:
                agreeing += one
                lost += error / z
                inverse += one / here
                agreed[s] = 1
    answer[0], answer[1], answer[2] = agreeing, visible, through
    answer[3], answer[4], answer[5] = hidden, lost, inverse


@njit(fastmath=True, error_model="numpy", cache=True, inline="never")
def _difference(
    z: np.float32, x: int, y: int, grey: U8, pictures: U8, agreed: U8, lens: F32, there: F32
) -> np.float32:
    """Return the mean grey difference of the agreeing views to the pixel."""
    count, height, width = pictures.shape
    fx, fy, cx, cy = lens[0], lens[1], lens[2], lens[3]
    half = np.float32(0.5)
    per_x, per_y = np.float32(1) / fx, np.float32(1) / fy
    px = (np.float32(x) + half - cx) * per_x * z
    py = (np.float32(y) + half - cy) * per_y * z
    own = np.float32(grey[y, x])
    total, number = np.float32(0), np.float32(0)
    for s in range(count):
        if agreed[s] == 0:
            continue
        m = there[s]
        scale = np.float32(1) / (m[2, 0] * px + m[2, 1] * py + m[2, 2] * z + m[2, 3])
        u = fx * (m[0, 0] * px + m[0, 1] * py + m[0, 2] * z + m[0, 3]) * scale + cx - half
        v = fy * (m[1, 0] * px + m[1, 1] * py + m[1, 2] * z + m[1, 3]) * scale + cy - half
        u = min(max(u, np.float32(0)), np.float32(width) - np.float32(1.001))
        v = min(max(v, np.float32(0)), np.float32(height) - np.float32(1.001))
        column, row = np.int32(u), np.int32(v)
        a, b = u - np.float32(column), v - np.float32(row)
        p = pictures[s]
        top = np.float32(p[row, column]) * (1 - a) + np.float32(p[row, column + 1]) * a
        low = np.float32(p[row + 1, column]) * (1 - a) + np.float32(p[row + 1, column + 1]) * a
        seen = top * (1 - b) + low * b
        total += min(abs(seen - own), _MOST_DIFFERENCE)
        number += 1
    return total / max(number, np.float32(1))


@njit(fastmath=True, error_model="numpy", cache=True)
def _judge(
    own: F32,
    kept: F32,
    carried: F32,
    grey: U8,
    sources: F32,
    pictures: U8,
    lens: F32,
    there: F32,
    back: F32,
    tolerance: float,
) -> tuple[F32, U8, F32]:
    height, width = own.shape
    count = sources.shape[0]
    depth = np.zeros((height, width), np.float32)
    whose = np.zeros((height, width), np.uint8)
    said = np.zeros((7, height, width), np.float32)
    answer = np.empty(6, np.float32)
    best_answer = np.empty(6, np.float32)
    agreed = np.empty(count, np.uint8)
    best_agreed = np.empty(count, np.uint8)
    trial = np.empty(count + 1, np.float32)
    zero, one = np.float32(0), np.float32(1)
    limit = np.float32(tolerance)
    for y in range(height):
        for x in range(width):
            z = kept[y, x]
            if z > zero:
                _ask(z, x, y, sources, lens, there, back, limit, answer, agreed)
                depth[y, x] = (answer[0] + one) / (answer[5] + one / z)
                whose[y, x] = KEPT
                for k in range(6):
                    said[k, y, x] = answer[k]
                continue
            number = 0
            for s in range(count):
                if carried[s, y, x] > zero:
                    trial[number] = carried[s, y, x]
                    number += 1
            mine = own[y, x]
            if mine > zero:
                trial[number] = mine
                number += 1
            for i in range(1, number):  # sorted by insertion: there are few
                value = trial[i]
                j = i
                while j > 0 and trial[j - 1] > value:
                    trial[j] = trial[j - 1]
                    j -= 1
                trial[j] = value
            best = np.float32(-1e9)
            first = 0
            while first < number:
                last = first
                while last + 1 < number and trial[last + 1] < trial[first] * (one + limit):
                    last += 1
                z = trial[(first + last) // 2]
                _ask(z, x, y, sources, lens, there, back, limit, answer, agreed)
                is_mine = mine >= trial[first] and mine <= trial[last]
                score = answer[0] - _THROUGH_COST * answer[2] - _HIDDEN_COST * answer[3]
                if is_mine:
                    score += _OWN_BONUS
                if answer[0] > zero and score > best:
                    best = score
                    depth[y, x] = answer[0] / answer[5]
                    whose[y, x] = OWN if is_mine else OTHERS
                    best_answer[:] = answer
                    best_agreed[:] = agreed
                first = last + 1
            if whose[y, x] > 0:
                for k in range(6):
                    said[k, y, x] = best_answer[k]
                said[6, y, x] = _difference(
                    depth[y, x], x, y, grey, pictures, best_agreed, lens, there
                )
    return depth, whose, said


def ask_others(
    own: F32,
    kept: F32,
    grey: U8,
    sources: F32,
    pictures: U8,
    intrinsics: F64,
    cam_to_world: F64,
    source_poses: F64,
    tolerance: float,
) -> Opinion:
    """Return what the kept depth of the sources says of a view.

    Args:
        own: (H, W) the view's depth, kept or not; 0 = unknown.
        kept: (H, W) what it kept.
        grey: (H, W) its picture, slightly blurred.
        sources: (S, H, W) what the sources kept; 0 = nothing.
        pictures: (S, H, W) their pictures, as blurred.
        intrinsics: (3, 3) pinhole matrix that all share, pixel centres at +0.5.
        cam_to_world: (4, 4) pose of the view.
        source_poses: (S, 4, 4) theirs.
        tolerance: relative difference up to which depths agree.
    """
    to_view = world_to_camera(cam_to_world)
    there = single([world_to_camera(pose) @ cam_to_world for pose in source_poses])
    back = single([to_view @ pose for pose in source_poses])
    flat = [intrinsics[0, 0], intrinsics[1, 1], intrinsics[0, 2], intrinsics[1, 2]]
    lens = np.array(flat, np.float32)
    carried = np.zeros(sources.shape, np.float32)
    for source, transform, drawn in zip(sources, back, carried, strict=True):
        _carry(source, kept, lens, transform, drawn)
    limit = max(tolerance, _LEAST_TOLERANCE)
    depth, whose, said = _judge(
        own, kept, carried, grey, sources, pictures, lens, there, back, limit
    )
    agreeing = np.maximum(said[0], 1)
    return Opinion(
        depth,
        whose,
        agreeing=said[0],
        visible=said[1],
        through=said[2],
        hidden=said[3],
        disagreement=said[4] / agreeing,
        difference=said[6],
    )
