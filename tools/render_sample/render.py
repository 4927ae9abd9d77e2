"""What the camera sees: exact depth, and the lit colour of every pixel."""

from __future__ import annotations

from functools import partial

import numpy as np

from epipar_scene.arrays import F32, F64, U8
from epipar_scene.cameras import Intrinsics
from tools.render_sample.bvh import Bvh, nearest_hit
from tools.render_sample.kernels import kernel, share
from tools.render_sample.light import LIFT_M, SUN, SUN_LIGHT, sunlight
from tools.render_sample.scene import Scene
from tools.render_sample.texture_set import sample_texture

_SUN_RADIUS = 0.006  # of the unit circle; a little wider than the real one
_EXPOSURE = 1.3
_WHITE = 3.6  # the light that becomes pure white


def render_depth(bvh: Bvh, camera: Intrinsics, cam_to_world: F64) -> F64:
    """Cast one ray through every pixel's centre.

    Returns:
        (H, W) distance along the optical axis in metres, inf where nothing is hit.
    """
    depth = np.empty((camera.height, camera.width))
    share(camera.height, partial(_depth, bvh, _values(camera), cam_to_world, depth))
    return depth


def render_light(scene: Scene, camera: Intrinsics, cam_to_world: F64, samples: int) -> F32:
    """Return the (H, W, 3) linear light of a frame, `samples` x `samples` rays a pixel."""
    light = np.zeros((camera.height, camera.width, 3), np.float32)
    share(camera.height, partial(_light, scene, _values(camera), cam_to_world, samples, light))
    return light


def develop(light: F32, exposure: float, noise: float, rng: np.random.Generator) -> U8:
    """Turn linear light into an sRGB picture through a film curve, with a sensor's grain.

    Args:
        light: (H, W, 3) linear.
        exposure: factor, about 1.
        noise: standard deviation of the grain, in grey levels of 255.
        rng: draws the grain.
    """
    x = np.maximum(light.astype(np.float64) * exposure * _EXPOSURE, 0.0)
    film = np.clip(x * (1 + x / _WHITE**2) / (1 + x), 0, 1)
    srgb = np.where(film <= 0.0031308, 12.92 * film, 1.055 * film ** (1 / 2.4) - 0.055)
    grain = rng.standard_normal(srgb.shape) * noise
    return np.asarray(np.clip(np.round(255 * srgb + grain), 0, 255), np.uint8)


def _values(camera: Intrinsics) -> F64:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy])


@kernel
def _way(camera: F64, pose: F64, x: float, y: float) -> F64:
    """Return the ray through a pixel coordinate, 1 long along the optical axis."""
    a, b = (x - camera[2]) / camera[0], (y - camera[3]) / camera[1]
    way: F64 = pose[:3, 0] * a + pose[:3, 1] * b + pose[:3, 2]
    return way


@kernel
def _depth(bvh: Bvh, camera: F64, cam_to_world: F64, out: F64, start: int, stop: int) -> None:
    for row in range(start, stop):
        for column in range(out.shape[1]):
            way = _way(camera, cam_to_world, column + 0.5, row + 0.5)
            out[row, column] = nearest_hit(bvh, cam_to_world[:3, 3], way)[0]


@kernel
def _received(scene: Scene, s: int, u: float, v: float) -> tuple[float, float, float]:
    """Read a surface's light map bilinearly; edges repeat."""
    wide, high = scene.light_wide[s], scene.light_high[s]
    x = min(max(u * wide - 0.5, 0.0), wide - 1.0)
    y = min(max(v * high - 0.5, 0.0), high - 1.0)
    column, row = min(int(x), wide - 2), min(int(y), high - 2)
    a, b = x - column, y - row
    at = scene.light_at[s] + row * wide + column
    p, q = scene.light[at], scene.light[at + 1]
    r, t = scene.light[at + wide], scene.light[at + wide + 1]
    wp, wq, wr, wt = (1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b
    return (
        wp * p[0] + wq * q[0] + wr * r[0] + wt * t[0],
        wp * p[1] + wq * q[1] + wr * r[1] + wt * t[1],
        wp * p[2] + wq * q[2] + wr * r[2] + wt * t[2],
    )


@kernel
def _seen(
    scene: Scene, origin: F64, way: F64, spread: float, sun: F64
) -> tuple[float, float, float]:
    """Return the light along a ray; `spread` is a pixel's width at distance 1 of it."""
    distance, hit, b1, b2 = nearest_hit(scene.bvh, origin, way)
    if hit < 0:
        return 0.0, 0.0, 0.0
    b0 = 1 - b1 - b2
    s = scene.surface[hit]
    uv, normals = scene.uv[hit], scene.normal[hit]
    u = b0 * uv[0, 0] + b1 * uv[1, 0] + b2 * uv[2, 0]
    v = b0 * uv[0, 1] + b1 * uv[1, 1] + b2 * uv[2, 1]
    normal = b0 * normals[0] + b1 * normals[1] + b2 * normals[2]
    normal = normal / np.sqrt(max(np.sum(normal * normal), 1e-12))
    cosine = abs(np.sum(normal * way)) / np.sqrt(np.sum(way * way))
    footprint = distance * spread * scene.texels_per_m[s] / np.sqrt(max(cosine, 0.04))
    tu = scene.start[s, 0] + u * scene.repeat[s, 0]
    tv = scene.start[s, 1] + v * scene.repeat[s, 1]
    colour = sample_texture(scene.textures, scene.texture[s], tu, tv, footprint)
    light = _received(scene, s, u, v)
    place = origin + distance * way
    if scene.two_sided[s] == 0:
        place = place + LIFT_M * normal
    part = sunlight(scene, place, normal, scene.two_sided[s], sun)
    return (
        colour[0] * (light[0] + part * SUN_LIGHT[0] + scene.glow[s, 0]),
        colour[1] * (light[1] + part * SUN_LIGHT[1] + scene.glow[s, 1]),
        colour[2] * (light[2] + part * SUN_LIGHT[2] + scene.glow[s, 2]),
    )


@kernel
def _light(
    scene: Scene, camera: F64, cam_to_world: F64, samples: int, out: F32, start: int, stop: int
) -> None:
    for row in range(start, stop):
        for column in range(out.shape[1]):
            for k in range(samples * samples):
                # The rows of samples are shifted, so that upright and level edges get k steps.
                i, j = k % samples, k // samples
                x = (i + (j + 0.5) / samples) / samples
                y = (j + (samples - 0.5 - i) / samples) / samples
                way = _way(camera, cam_to_world, column + x, row + y)
                turn = 2.399963 * (k + samples * samples * ((column % 3) + 3 * (row % 3)))
                ring = _SUN_RADIUS * np.sqrt((k + 0.5) / (samples * samples))
                sun = SUN + np.array([ring * np.cos(turn), ring * np.sin(turn), 0.0])
                spread = 1.0 / (camera[0] * samples)
                seen = _seen(scene, cam_to_world[:3, 3], way, spread, sun)
                for c in range(3):
                    out[row, column, c] += seen[c] / (samples * samples)
