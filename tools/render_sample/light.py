"""The room's light, gathered once into maps: the window's sky, the lamp, and what bounces.

Every surface is matt, so its light does not depend on the viewer and one bake serves all frames.
The sun's own light is left to the renderer, which draws its shadows sharply; here it only bounces.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from epipar_scene.arrays import F32, F64, I64
from tools.render_sample.bvh import is_blocked, nearest_hit
from tools.render_sample.kernels import kernel, share
from tools.render_sample.room import LAMP_AT, LAMP_RADIUS, LEFT, WINDOW_Y, WINDOW_Z
from tools.render_sample.scene import Scene, light_sides, surface_grid
from tools.render_sample.shapes import Surface
from tools.render_sample.texture_set import sample_texture

SUN = np.array([-0.85, -0.4, -0.33]) / np.linalg.norm([-0.85, -0.4, -0.33])  # towards it
SUN_LIGHT = np.array([7.2, 5.7, 3.7])
_SKY_LIGHT = np.array([11.0, 12.0, 13.0])
_LAMP_LIGHT = np.array([0.55, 0.32, 0.13])
_AMBIENT = np.array([0.12, 0.115, 0.11])
LIFT_M = 0.002  # rays start this far off their surface
_GOLDEN_1, _GOLDEN_2 = 0.7548776662466927, 0.5698402909980532


def bake(
    scene: Scene, surfaces: list[Surface], rays: int, report: Callable[[str, float], None]
) -> None:
    """Fill the scene's light maps.

    Args:
        scene: its `light` is written.
        surfaces: those that the scene was built from.
        rays: how many rays gather the bounced light of a texel; the direct light takes as many.
        report: called with a stage and its share done, 0..1.
    """
    place, normal, two_sided = _texels(surfaces)
    report("light", 0.0)
    direct = np.zeros((len(place), 3), np.float32)
    share(len(place), partial(_direct, scene, place, normal, two_sided, rays, direct))
    direct = _smoothed(scene, direct, 1)
    sun = np.zeros_like(direct)
    share(len(place), partial(_sun, scene, place, normal, two_sided, sun))
    total = direct + sun
    for bounce in range(3):
        report("light", (bounce + 1) / 4)
        bounced = np.zeros_like(direct)
        share(len(place), partial(_bounce, scene, total, place, normal, two_sided, rays, bounced))
        bounced = _smoothed(scene, bounced, 3)
        total = direct + sun + bounced
    scene.light[:] = direct + bounced + _AMBIENT.astype(np.float32)
    report("light", 1.0)


def _texels(surfaces: list[Surface]) -> tuple[F64, F64, I64]:
    """Return place, normal and sidedness of every light texel, in the order of Scene.light."""
    places, normals, sides = [], [], []
    for surface in surfaces:
        points, normal = surface_grid(surface)
        wide, high = light_sides(surface)
        both = _interpolated(np.concatenate([points, normal], axis=2), wide, high)
        length = np.linalg.norm(both[:, 3:], axis=1, keepdims=True)
        places.append(both[:, :3])
        normals.append(both[:, 3:] / np.maximum(length, 1e-9))
        sides.append(np.full(wide * high, int(surface.two_sided)))
    return np.concatenate(places), np.concatenate(normals), np.concatenate(sides)


def _interpolated(grid: F64, wide: int, high: int) -> F64:
    """Sample an (R, C, D) grid bilinearly at the centres of high x wide texels; (N, D)."""
    y = (np.arange(high) + 0.5) / high * (grid.shape[0] - 1)
    x = (np.arange(wide) + 0.5) / wide * (grid.shape[1] - 1)
    row = np.minimum(y.astype(int), grid.shape[0] - 2)
    column = np.minimum(x.astype(int), grid.shape[1] - 2)
    b, a = (y - row)[:, None, None], (x - column)[None, :, None]
    upper = grid[row][:, column] * (1 - a) + grid[row][:, column + 1] * a
    lower = grid[row + 1][:, column] * (1 - a) + grid[row + 1][:, column + 1] * a
    return np.asarray((upper * (1 - b) + lower * b).reshape(-1, grid.shape[2]), np.float64)


def _smoothed(scene: Scene, light: F32, passes: int) -> F32:
    """Blur each surface's map with a binomial kernel; edges repeat."""
    result = light.copy()
    for at, wide, high in zip(scene.light_at, scene.light_wide, scene.light_high, strict=True):
        tile = result[at : at + wide * high].reshape(high, wide, 3)
        for _ in range(passes):
            ring = np.pad(tile, ((1, 1), (1, 1), (0, 0)), mode="edge")
            upright = (ring[:-2] + 2 * ring[1:-1] + ring[2:]) / 4
            tile[:] = (upright[:, :-2] + 2 * upright[:, 1:-1] + upright[:, 2:]) / 4
    return result


@kernel
def _noise(k: int) -> float:
    """Return a number in [0, 1) that depends on k alone."""
    x = (k * 747796405 + 2891336453) & 0xFFFFFFFF
    x = (((x >> ((x >> 28) + 4)) ^ x) * 277803737) & 0xFFFFFFFF
    return float(((x >> 22) ^ x) & 0xFFFFFFFF) / 4294967296.0


@kernel
def _facing(normal: F64, way: F64, two_sided: int) -> float:
    cosine = normal[0] * way[0] + normal[1] * way[1] + normal[2] * way[2]
    return float(0.5 * abs(cosine) if two_sided == 1 else max(cosine, 0.0))


@kernel
def sunlight(scene: Scene, place: F64, normal: F64, two_sided: int, sun: F64) -> float:
    """Return the share of the sun's light that reaches a point, its shadow included."""
    part = _facing(normal, sun, two_sided)
    if part <= 0.0 or is_blocked(scene.bvh, scene.clear, place + LIFT_M * sun, sun, 20.0):
        return 0.0
    return part


@kernel
def _sun(
    scene: Scene, place: F64, normal: F64, two_sided: I64, out: F32, start: int, stop: int
) -> None:
    for k in range(start, stop):
        lifted = place[k] + LIFT_M * normal[k]
        part = sunlight(scene, lifted, normal[k], two_sided[k], SUN)
        for c in range(3):
            out[k, c] = part * SUN_LIGHT[c]


@kernel
def _direct(
    scene: Scene,
    place: F64,
    normal: F64,
    two_sided: I64,
    rays: int,
    out: F32,
    start: int,
    stop: int,
) -> None:
    """Sample the window as a bright pane and the lamp as a bright ball."""
    wide, high = WINDOW_Z[1] - WINDOW_Z[0], WINDOW_Y[1] - WINDOW_Y[0]
    for k in range(start, stop):
        for ray in range(rays):
            a = (_noise(2 * k) + (ray + 1) * _GOLDEN_1) % 1.0
            b = (_noise(2 * k + 1) + (ray + 1) * _GOLDEN_2) % 1.0
            for source in range(2):
                if source == 0:
                    target = np.array(
                        [LEFT - 0.04, -(WINDOW_Y[0] + b * high), WINDOW_Z[0] + a * wide]
                    )
                else:
                    around, up = 2 * np.pi * a, 2 * b - 1
                    ring = LAMP_RADIUS * np.sqrt(1 - up * up)
                    target = np.array(
                        [
                            LAMP_AT[0] + ring * np.cos(around),
                            -LAMP_AT[1] + LAMP_RADIUS * up,
                            LAMP_AT[2] + ring * np.sin(around),
                        ]
                    )
                way = target - place[k]
                distance = np.sqrt(way[0] * way[0] + way[1] * way[1] + way[2] * way[2])
                way = way / distance
                part = _facing(normal[k], way, two_sided[k])
                if part <= 0.0:
                    continue
                lifted = place[k] + LIFT_M * (normal[k] if two_sided[k] == 0 else way)
                if is_blocked(scene.bvh, scene.clear, lifted, way, distance - 2 * LIFT_M):
                    continue
                if source == 0:
                    part *= wide * high * abs(way[0]) / (np.pi * distance * distance)
                    for c in range(3):
                        out[k, c] += part * _SKY_LIGHT[c] / rays
                else:
                    for c in range(3):
                        out[k, c] += part * _LAMP_LIGHT[c] / (distance * distance) / rays


@kernel
def _bounce(
    scene: Scene,
    total: F32,
    place: F64,
    normal: F64,
    two_sided: I64,
    rays: int,
    out: F32,
    start: int,
    stop: int,
) -> None:
    """Gather what the room sends back, over a cosine-weighted hemisphere."""
    for k in range(start, stop):
        n = normal[k]
        aside = np.cross(n, np.array([1.0, 0.0, 0.0] if abs(n[0]) < 0.7 else [0.0, 1.0, 0.0]))
        aside = aside / np.sqrt(aside[0] * aside[0] + aside[1] * aside[1] + aside[2] * aside[2])
        third = np.cross(n, aside)
        for ray in range(rays):
            a = (_noise(2 * k + 77) + (ray + 1) * _GOLDEN_1) % 1.0
            b = (_noise(2 * k + 78) + (ray + 1) * _GOLDEN_2) % 1.0
            side = -1.0 if two_sided[k] == 1 and ray % 2 == 1 else 1.0
            ring, around = np.sqrt(a), 2 * np.pi * b
            way = (
                ring * np.cos(around) * aside
                + ring * np.sin(around) * third
                + side * np.sqrt(1 - a) * n
            )
            _, hit, b1, b2 = nearest_hit(scene.bvh, place[k] + side * LIFT_M * n, way)
            if hit < 0:
                continue
            s = scene.surface[hit]
            uv = scene.uv[hit]
            u = (1 - b1 - b2) * uv[0, 0] + b1 * uv[1, 0] + b2 * uv[2, 0]
            v = (1 - b1 - b2) * uv[0, 1] + b1 * uv[1, 1] + b2 * uv[2, 1]
            column = min(int(u * scene.light_wide[s]), scene.light_wide[s] - 1)
            row = min(int(v * scene.light_high[s]), scene.light_high[s] - 1)
            texel = scene.light_at[s] + row * scene.light_wide[s] + column
            tu = scene.start[s, 0] + u * scene.repeat[s, 0]
            tv = scene.start[s, 1] + v * scene.repeat[s, 1]
            colour = sample_texture(scene.textures, scene.texture[s], tu, tv, 64.0)
            for c in range(3):
                sent = colour[c] * (total[texel, c] + scene.glow[s, c])
                out[k, c] += sent / rays
