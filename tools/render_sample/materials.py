"""Procedural materials: wood, brick, paint, cloth, wicker, leaves, fruit and paper."""

from __future__ import annotations

import numpy as np

from epipar_scene.arrays import F32, F64
from tools.render_sample.noise import fractal_noise, value_noise
from tools.render_sample.texture_set import Texture

Colour = tuple[float, float, float]


def rgb(code: str) -> Colour:
    """Read a colour such as "b5552b"."""
    return (int(code[0:2], 16) / 255, int(code[2:4], 16) / 255, int(code[4:6], 16) / 255)


def mix(a: Colour | F32, b: Colour | F32, amount: F32 | F64) -> F32:
    """Blend two colours by an (H, W) amount in 0..1."""
    part = np.clip(amount, 0, 1)[..., None]
    return np.asarray(np.array(a) * (1 - part) + np.array(b) * part, np.float32)


def relief(height: F32, depth: float) -> F32:
    """Return the shading of a height field under light from the upper left, about 1."""
    slope = np.roll(height, 1, axis=1) - height + np.roll(height, 1, axis=0) - height
    return np.asarray(np.clip(1 - depth * slope, 0.45, 1.5), np.float32)


def wood(dark: str, light: str, seed: int, size_m: float = 0.8, rings: float = 7.0) -> Texture:
    """Return sawn wood, its grain along u."""
    rng = np.random.default_rng(seed)
    bend = fractal_noise(512, 512, 4, 2, rng, 3)
    fibre = fractal_noise(512, 512, 128, 4, rng, 3, 0.8)
    v = np.arange(512)[:, None] / 512
    ring = 0.5 + 0.5 * np.sin(2 * np.pi * (rings * v + 0.42 * bend))
    tone = 0.25 + 0.4 * ring + 0.16 * fibre + 0.1 * fractal_noise(512, 512, 3, 3, rng, 5)
    pores = fractal_noise(512, 512, 128, 16, rng, 2) > 1.75
    return Texture(
        mix(rgb(dark), rgb(light), tone) * (1 - 0.3 * pores[..., None]),
        (size_m, 0.5 * size_m),
        True,
    )


def planks(seed: int) -> Texture:
    """Return an oak floor of 8 planks to 1.12 m; planks run along v, 2.24 m to a repeat."""
    rng = np.random.default_rng(seed)
    height, width, boards = 2048, 1024, 8
    image = np.zeros((height, width, 3), np.float32)
    each = width // boards
    for board in range(boards):
        shift = int(rng.integers(height))
        ends = sorted(int(e) for e in rng.choice(np.arange(0, height, 128), 2, replace=False))
        tones = rng.uniform(0.25, 0.85, 2)
        column = wood("6d4527", "c4935c", int(rng.integers(1 << 30)), rings=2.2).srgb
        plank = np.kron(column.transpose(1, 0, 2)[:, ::4][:, :each], np.ones((4, 1, 1), np.float32))
        plank = np.roll(plank, shift, axis=0)
        rows = np.arange(height)
        first = ((rows >= ends[0]) & (rows < ends[1]))[:, None]
        tone = np.where(first, tones[0], tones[1])
        plank = plank * (0.78 + 0.4 * tone[..., None]) * np.where(first, 1.0, 0.96)[..., None]
        gap = np.ones((height, each), np.float32)
        gap[:, :2] = 0.28
        gap[:, 2:4] = 1.1
        for end in ends:
            gap[end : end + 4] = 0.3
        image[:, board * each : (board + 1) * each] = plank * gap[..., None]
    wear = fractal_noise(height, width, 8, 4, rng, 6)
    scratch = fractal_noise(height, width, 32, 128, rng, 3) * 0.02
    return Texture(image * (1 + 0.055 * wear + scratch)[..., None], (1.12, 2.24))


def bricks(seed: int) -> Texture:
    """Return an old wall of 8 bricks by 20 courses, limewashed here and there."""
    rng = np.random.default_rng(seed)
    size, courses, across = 2048, 20, 8
    v, u = np.mgrid[0:size, 0:size].astype(np.float32) / size
    warp = 0.0011 * fractal_noise(size, size, 32, 32, rng, 4)
    row = np.floor((v + warp) * courses) % courses
    along = (u + 0.6 * warp) * across + 0.5 * (row % 2)
    brick = np.floor(along) % across
    tone = rng.random((courses, across, 3))[row.astype(int), brick.astype(int)]
    inner_u = np.minimum(along % 1, 1 - along % 1) * 0.235
    inner_v = np.minimum((v + warp) * courses % 1, 1 - (v + warp) * courses % 1) * 0.078
    grain = fractal_noise(size, size, 128, 128, rng, 4, 0.75)
    edge = np.minimum(inner_u, inner_v) + 0.0011 * fractal_noise(size, size, 64, 64, rng, 4)
    body = np.clip((edge - 0.0045) / 0.0025, 0, 1)
    clay = mix(
        mix(rgb("7d3f2c"), rgb("b86a4a"), tone[..., 0]), rgb("6a4a40"), 0.55 * (tone[..., 1] > 0.8)
    )
    clay = mix(clay, rgb("cf9a74"), 0.5 * (tone[..., 2] > 0.82))
    patches = fractal_noise(size, size, 16, 16, rng, 6, 0.65)
    clay = mix(clay, rgb("d9c6b2"), 0.75 * np.clip(patches - 0.75, 0, 1))
    clay = clay * (1 + 0.11 * grain + 0.06 * fractal_noise(size, size, 8, 8, rng, 5))[..., None]
    mortar = np.array(rgb("b7a793")) * (1 + 0.09 * grain)[..., None]
    image = mortar * (1 - body[..., None]) + clay * body[..., None]
    shade = relief(np.asarray(body + 0.16 * grain, np.float32), 0.3)
    return Texture(np.asarray(image * shade[..., None], np.float32), (1.96, 1.56))


def plaster(colour: str, seed: int, contrast: float = 1.0) -> Texture:
    """Return a painted wall: nearly plain, with the traces of a roller."""
    rng = np.random.default_rng(seed)
    cloud = fractal_noise(1024, 1024, 6, 6, rng, 4)
    roller = fractal_noise(1024, 1024, 256, 256, rng, 2, 0.7)
    tone = 1 + contrast * (0.014 * cloud + 0.012 * roller)
    return Texture(np.asarray(np.array(rgb(colour)) * tone[..., None], np.float32), (1.6, 1.6))


def tweed(colour: str, fleck: str, seed: int, size_m: float = 0.3) -> Texture:
    """Return a coarse weave with flecks of a second yarn."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:512, 0:512].astype(np.float32) / 512
    weave = np.sin(2 * np.pi * 40 * u) * np.sin(2 * np.pi * 40 * v)
    yarn = fractal_noise(512, 512, 8, 64, rng, 4, 0.75) + fractal_noise(
        512, 512, 64, 8, rng, 4, 0.75
    )
    flecks = np.clip(fractal_noise(512, 512, 40, 40, rng, 3, 0.8) - 0.8, 0, 1)
    tone = 1 + 0.1 * weave + 0.085 * yarn + 0.05 * fractal_noise(512, 512, 4, 4, rng, 4)
    cloth = np.array(rgb(colour)) * tone[..., None]
    return Texture(mix(np.asarray(cloth, np.float32), rgb(fleck), flecks), (size_m, size_m))


def plaid(seed: int) -> Texture:
    """Return a woollen blanket in checks."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:512, 0:512].astype(np.float32) / 512

    def bands(t: F32) -> F32:
        wide = ((t * 2) % 1 < 0.42).astype(np.float32)
        thin = (np.abs((t * 2 + 0.29) % 1 - 0.5) < 0.035).astype(np.float32)
        return np.asarray(0.55 * wide + 1.0 * thin, np.float32)

    image = mix(rgb("e6d9c0"), rgb("8c3a34"), 0.6 * bands(u))
    image = mix(image, rgb("31414f"), 0.6 * bands(v))
    wool = fractal_noise(512, 512, 64, 64, rng, 3, 0.8)
    twill = np.sin(2 * np.pi * 64 * (u + v))
    return Texture(image * (1 + 0.08 * wool + 0.05 * twill)[..., None], (0.42, 0.42))


def knit(colour: str, seed: int) -> Texture:
    """Return thick knitted loops in upright braids."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:512, 0:512].astype(np.float32) / 512
    side = np.abs((u * 12) % 1 - 0.5) * 2
    loop = 0.5 + 0.5 * np.sin(2 * np.pi * (14 * v + 0.42 * side))
    seam = np.clip((1 - side) * 6, 0, 1) * np.clip(side * 7, 0, 1)
    yarn = fractal_noise(512, 512, 64, 64, rng, 3, 0.8)
    patch = fractal_noise(512, 512, 6, 6, rng, 4)
    tone = (0.45 + 0.6 * loop**0.7) * (0.6 + 0.4 * seam) * (1 + 0.12 * yarn + 0.08 * patch)
    return Texture(np.asarray(np.array(rgb(colour)) * tone[..., None], np.float32), (0.45, 0.36))


def wicker(seed: int) -> Texture:
    """Return a basket's weave."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:512, 0:512].astype(np.float32) / 512
    row = np.floor(v * 16)
    over = 0.5 + 0.5 * np.sin(2 * np.pi * 8 * u + np.pi * (row % 2))
    round_ = np.sqrt(np.clip(1 - (2 * ((v * 16) % 1) - 1) ** 2, 0, 1))
    cane = rng.uniform(0.8, 1.15, 16)[row.astype(int) % 16]
    fibre = fractal_noise(512, 512, 128, 16, rng, 3, 0.8)
    tone = (0.3 + 0.7 * over) * (0.35 + 0.65 * round_) * cane * (1 + 0.14 * fibre)
    return Texture(mix(rgb("4a2f1a"), rgb("d2a269"), np.asarray(tone, np.float32)), (0.4, 0.3))


def leaf_skin(seed: int) -> Texture:
    """Return a leaf with a pale midrib and side veins; v runs from stalk to tip."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:256, 0:256].astype(np.float32) / 256
    side = np.abs(u - 0.5)
    vein = np.abs(((v - 0.9 * side) * 9) % 1 - 0.5) < 0.05
    rib = np.clip(1 - side / 0.025, 0, 1)
    mottle = fractal_noise(256, 256, 16, 16, rng, 4, 0.7)
    dark, light = (("2c5a30", "5c9148"), ("38663a", "7aa357"), ("2a5136", "4f8450"))[seed % 3]
    image = mix(rgb(dark), rgb(light), 0.45 + 0.22 * mottle)
    return Texture(mix(image, rgb("b5c98a"), np.maximum(0.5 * vein, 0.85 * rib)))


def fruit(base: str, blush: str, seed: int, dimples: float) -> Texture:
    """Return a fruit's skin: a blush with streaks down the side, or the dimples of a peel."""
    rng = np.random.default_rng(seed)
    streak = fractal_noise(256, 256, 4, 32, rng, 4, 0.7)
    spots = fractal_noise(256, 256, 64, 64, rng, 2)
    image = mix(rgb(base), rgb(blush), 0.45 + 0.3 * streak)
    return Texture(image * (relief(spots, 0.09 * dimples) * (1 + 0.05 * spots))[..., None])


def clay(colour: str, seed: int, bands: int = 0, ink: str = "2f4a6d") -> Texture:
    """Return thrown pottery, with painted bands of ornament if wanted."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:512, 0:512].astype(np.float32) / 512
    wheel = value_noise(512, 512, 128, 1, rng) - 0.5
    tone = 1 + 0.07 * fractal_noise(512, 512, 16, 16, rng, 6, 0.75) + 0.08 * wheel
    image = np.asarray(np.array(rgb(colour)) * tone[..., None], np.float32)
    if bands:
        place = (v * bands) % 1
        wave = np.abs(place - 0.5 - 0.22 * np.sin(2 * np.pi * 14 * u)) < 0.07
        dots = np.hypot((u * 28 + 0.25) % 1 - 0.5, (place - 0.5) * 5) < 0.33
        lines = (np.abs(place - 0.08) < 0.03) | (np.abs(place - 0.92) < 0.03)
        image = mix(image, rgb(ink), 0.85 * (wave | dots | lines))
    return Texture(image)


def pages(seed: int) -> Texture:
    """Return the edge of a book's pages, lines along u."""
    rng = np.random.default_rng(seed)
    lines = fractal_noise(128, 128, 64, 2, rng, 2)
    image = (
        np.array(rgb("e2d5b8"))
        * (1 + 0.09 * lines + 0.03 * fractal_noise(128, 128, 8, 8, rng, 4))[..., None]
    )
    return Texture(np.asarray(image, np.float32))


def linen(colour: str, seed: int) -> Texture:
    """Return a lampshade's cloth."""
    rng = np.random.default_rng(seed)
    threads = fractal_noise(256, 256, 8, 128, rng, 3, 0.8) + fractal_noise(
        256, 256, 128, 8, rng, 3, 0.8
    )
    return Texture(np.asarray(np.array(rgb(colour)) * (1 + 0.07 * threads)[..., None], np.float32))
