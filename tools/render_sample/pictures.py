"""Drawn textures: the rug, the paintings, the cushions, book spines, covers and a globe."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from epipar_scene.arrays import F32
from tools.render_sample.materials import mix, rgb
from tools.render_sample.noise import fractal_noise
from tools.render_sample.texture_set import Texture

SPINE_TITLES = (
    "PARALLAX", "TWO VIEWS", "The Baseline", "EPIPOLES", "Light & Lens", "A Room", "DEPTH",
    "Bundles", "RAYS", "On Scale", "Far Points", "HORIZON", "The Pinhole", "ODOMETRY", "Near",
    "Triangles", "STEREO", "A Walk", "Planes", "The Octree", "SURFACES", "Shadow", "INVERSE",
    "Motion", "ESSENTIAL", "Five Points",
)  # fmt: skip
_CLOTHS = (
    "7c2d2a", "274c5e", "c8a24a", "34533b", "d8cbb0", "4a3552", "b5643c", "1f2f46", "8a8f6a",
    "a63d40", "e0b98a", "3f6f73", "5a4632", "c6c9c4", "6e1f35",
)  # fmt: skip


def rug(seed: int) -> Texture:
    """Return a knotted rug: borders, a field of small motifs and three medallions."""
    rng = np.random.default_rng(seed)
    height, width = 1024, 1024
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    knot = 4
    x = (np.floor(u / knot) * knot + knot / 2 - width / 2) * (2.7 / width)
    y = (np.floor(v / knot) * knot + knot / 2 - height / 2) * (1.95 / height)
    edge = np.minimum(1.35 - np.abs(x), 0.975 - np.abs(y))
    image = np.broadcast_to(np.array(rgb("7d2a2b")), (height, width, 3)).astype(np.float32)
    cell_x, cell_y = (x / 0.15 + 100) % 1 - 0.5, (y / 0.15 + 100) % 1 - 0.5
    kind = (np.floor(x / 0.15 + 100) + np.floor(y / 0.15 + 100)).astype(int) % 3
    star = np.abs(cell_x) + np.abs(cell_y)
    for k, code in enumerate(("d9b26a", "2b3f5c", "cfc0a2")):
        image = mix(image, rgb(code), 1.0 * ((kind == k) & (star < 0.36) & (star > 0.1)))
    image = mix(image, rgb("e6d7b4"), 1.0 * (star < 0.06))
    for centre, radius in ((-0.68, 0.36), (0.0, 0.5), (0.68, 0.36)):
        ring = (np.abs(x - centre) * 0.85 + np.abs(y)) / radius
        step = ring + 0.06 * ((np.abs(y) * 22).astype(int) % 2)
        for limit, code in (
            (1, "e0cfa4"),
            (0.92, "23364f"),
            (0.7, "c98b4a"),
            (0.58, "e0cfa4"),
            (0.5, "8f2f2b"),
            (0.28, "2d5560"),
            (0.14, "ead9b0"),
        ):
            image = mix(image, rgb(code), 1.0 * (step < limit))
        petals = np.sin(8 * np.arctan2(y, x - centre)) > 0.35
        image = mix(image, rgb("e6c98a"), 1.0 * (petals & (ring > 0.74) & (ring < 0.88)))
    image = mix(image, _border(x, y), 1.0 * (edge < 0.3))
    worn = fractal_noise(height, width, 6, 6, rng, 5)
    abrash = fractal_noise(height, width, 64, 2, rng, 3)
    pile = (
        rng.standard_normal((height // 2, width // 2)).astype(np.float32).repeat(2, 0).repeat(2, 1)
    )
    tone = 1 + 0.05 * worn + 0.045 * abrash + 0.085 * pile
    return Texture(np.asarray(image * tone[..., None], np.float32))


def _border(x: F32, y: F32) -> F32:
    """Return the colours of the rug's border from the knots' places in metres."""
    edge = np.minimum(1.35 - np.abs(x), 0.975 - np.abs(y))
    along = np.where(1.35 - np.abs(x) < 0.975 - np.abs(y), y, x)
    image = mix(rgb("23364f"), rgb("2b4a5c"), 0.0 * edge)
    zigzag = np.abs((along / 0.13 + 50) % 1 - 0.5) * 0.2
    image = mix(image, rgb("d8bd7c"), 1.0 * (np.abs(edge - 0.11 - zigzag) < 0.016))
    bud = np.hypot((along / 0.13 + 50) % 1 - 0.5, (edge - 0.14) * 8) < 0.2
    image = mix(image, rgb("c25a43"), 1.0 * bud)
    for place, code in ((0.035, "d9c79c"), (0.06, "8f2f2b"), (0.25, "d9c79c"), (0.285, "8f2f2b")):
        image = mix(image, rgb(code), 1.0 * (np.abs(edge - place) < 0.013))
    teeth = (np.abs(edge - 0.06) < 0.012) & ((along / 0.05 + 50) % 1 < 0.4)
    image = mix(image, rgb("e6d7b4"), 1.0 * teeth)
    return mix(image, rgb("cbb894"), 1.0 * (edge < 0.018))


def landscape(seed: int) -> Texture:
    """Return a painted evening: sun, hills behind hills, a lake and trees."""
    rng = np.random.default_rng(seed)
    height, width = 512, 512
    v, u = np.mgrid[0:height, 0:width].astype(np.float32) / 512
    brush = fractal_noise(height, width, 128, 24, rng, 3, 0.8)
    cloud = fractal_noise(height, width, 10, 3, rng, 5)
    image = mix(rgb("4f7fa3"), rgb("f3c98b"), np.asarray(v / 0.5 + 0.06 * brush, np.float32))
    image = mix(image, rgb("f6e3c5"), np.asarray(0.8 * (cloud > 0.5) * (1 - v / 0.5), np.float32))
    sun = np.hypot((u - 0.68) * 1.45, v - 0.34)
    image = mix(image, rgb("ffe9a8"), np.asarray(np.clip(1.3 - sun / 0.11, 0, 1) * 0.7, np.float32))
    image = mix(image, rgb("fff3cf"), 1.0 * (sun < 0.06))
    for k, code in enumerate(("8a94a6", "6f8a86", "5a7a55", "3f6239", "2e4a2a")):
        ridge = fractal_noise(1, width, 1, 2 + k, rng, 6, 0.5)[0]
        top = 0.4 + 0.055 * k + 0.035 * ridge
        inside = v > top[None, :]
        shade = (
            np.array(rgb(code))
            * (1 + 0.1 * brush + 0.12 * fractal_noise(height, width, 16, 16, rng, 4))[..., None]
        )
        image = np.where(inside[..., None], shade, image).astype(np.float32)
    shore = ((u - 0.5) / 0.46) ** 2 + ((v - 0.79) / 0.11) ** 2 + 0.1 * np.sin(23 * u) + 0.06 * cloud
    lake = shore < 1
    mirror = np.asarray(
        0.5 + 0.35 * np.sin(2 * np.pi * 42 * v + 3 * cloud) + 0.2 * brush, np.float32
    )
    image = np.where(lake[..., None], mix(rgb("3d6b86"), rgb("f0cf98"), mirror), image).astype(
        np.float32
    )
    for _ in range(46):
        x, base, size = rng.uniform(0, 1), rng.uniform(0.62, 1.0), rng.uniform(0.02, 0.05)
        if ((x - 0.5) / 0.46) ** 2 + ((base - 0.79) / 0.11) ** 2 < 1.1:
            continue
        tree = np.hypot((u - x) * 1.6, v - base + size) + 0.006 * brush < 0.75 * size
        tone = rng.uniform(0.7, 1.4)
        image = mix(image, (0.21 * tone, 0.33 * tone, 0.17 * tone), 1.0 * tree)
    return Texture(np.asarray(image * (1 + 0.06 * brush)[..., None], np.float32))


def botanical(seed: int) -> Texture:
    """Return a drawn twig on paper with a passe-partout."""
    rng = np.random.default_rng(seed)
    sheet = Image.new("RGB", (256, 512), (238, 230, 212))
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((26, 44, 229, 467), fill=(226, 214, 186), outline=(150, 130, 100), width=2)
    stem = [(128 + 14 * np.sin(k / 3.0 + seed), 430 - 22 * k) for k in range(16)]
    draw.line(stem, fill=(84, 78, 44), width=4)
    for k, (x, y) in enumerate(stem[1:]):
        for side in (-1, 1):
            length = (62 - 2.6 * k) * rng.uniform(0.85, 1.15)
            tip = (x + side * length, y - 0.55 * length)
            bow = (x + side * 0.55 * length, y - 0.05 * length)
            bay = (x + side * 0.4 * length, y - 0.5 * length)
            green = int(rng.integers(80, 130))
            draw.polygon(
                [(x, y), bow, tip, bay], fill=(green - 30, green, 60), outline=(50, 66, 34)
            )
            draw.line([(x, y), tip], fill=(190, 196, 140), width=1)
    for x, y in stem[3::3]:
        draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=(178, 58, 46), outline=(90, 30, 30))
    draw.text((90, 446), f"fig. {seed % 9 + 1}", fill=(80, 66, 50), font=ImageFont.load_default(15))
    paper = 1 + 0.03 * fractal_noise(512, 256, 32, 16, rng, 4, 0.8)
    return Texture(np.asarray(sheet, np.float32) / 255 * paper[..., None])


def kilim(seed: int) -> Texture:
    """Return a cushion's cover with rows of triangles and lozenges."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:512, 0:512].astype(np.float32) / 512
    palette = [rgb(code) for code in ("e8dcc0", "b4492f", "2f5a66", "d9a441", "5b2a33", "7d8f63")]
    image = np.zeros((512, 512, 3), np.float32)
    row = np.floor(v * 9).astype(int)
    for k in range(9):
        base, motif = palette[(k * 2 + seed) % 6], palette[(k * 2 + 3 + seed) % 6]
        across, down = np.abs((u * (5 + k % 3)) % 1 - 0.5) * 2, (v * 9) % 1
        shape = across < down if k % 2 else across + np.abs(down * 2 - 1) < 0.85
        core = (across + np.abs(down * 2 - 1) < 0.4) & (k % 2 == 0)
        band = mix(mix(base, motif, 1.0 * shape), palette[(k + 1) % 6], 1.0 * core)
        image = np.where((row == k)[..., None], band, image).astype(np.float32)
    image = mix(image, palette[4], 1.0 * (np.abs((v * 9) % 1 - 0.5) > 0.46))
    weave = np.sin(2 * np.pi * 85 * u) * 0.05 + 0.07 * fractal_noise(512, 512, 128, 32, rng, 3, 0.8)
    return Texture(np.asarray(image * (1 + weave)[..., None], np.float32))


def spine(seed: int) -> Texture:
    """Return a book's spine, its head at v = 0."""
    rng = np.random.default_rng(seed)
    cloth = rgb(_CLOTHS[seed % len(_CLOTHS)])
    ink = (242, 226, 178) if sum(cloth) < 1.6 else (54, 38, 32)
    strip = Image.new("RGB", (512, 64), tuple(int(255 * c) for c in cloth))
    draw = ImageDraw.Draw(strip)
    title = SPINE_TITLES[seed % len(SPINE_TITLES)]
    draw.text((90 + int(rng.integers(40)), 14), title, fill=ink, font=ImageFont.load_default(34))
    for x in (24, 60, 420, 452, 486)[int(rng.integers(3)) :]:
        draw.line([(x, 0), (x, 64)], fill=ink, width=int(rng.integers(3, 9)))
    if seed % 3 == 0:
        label = tuple(int(255 * c) for c in rgb(_CLOTHS[(seed + 5) % len(_CLOTHS)]))
        draw.rectangle((340, 6, 404, 58), fill=label, outline=ink, width=3)
    if seed % 4 == 1:
        draw.ellipse((352, 14, 388, 50), outline=ink, width=5)
    wear = 1 + 0.07 * fractal_noise(64, 512, 16, 128, rng, 3, 0.8)
    image = np.asarray(strip, np.float32) / 255 * wear[..., None]
    return Texture(np.ascontiguousarray(np.rot90(image, -1)))


def cover(seed: int) -> Texture:
    """Return the cover cloth of the book with this seed, with a stamped frame."""
    rng = np.random.default_rng(seed + 500)
    cloth = rgb(_CLOTHS[seed % len(_CLOTHS)])
    v, u = np.mgrid[0:128, 0:128].astype(np.float32) / 128
    frame = np.abs(np.maximum(np.abs(u - 0.5), np.abs(v - 0.5)) - 0.4) < 0.02
    badge = np.abs(np.hypot(u - 0.5, v - 0.42) - 0.16) < 0.03
    lines = (np.abs(v - 0.74) < 0.02) & (np.abs(u - 0.5) < 0.22)
    ink = rgb("efe0b0") if sum(cloth) < 1.6 else rgb("4a342c")
    image = mix(cloth, ink, 0.9 * (frame | badge | lines))
    return Texture(image * (1 + 0.07 * fractal_noise(128, 128, 32, 32, rng, 3, 0.8))[..., None])


def globe(seed: int) -> Texture:
    """Return the map of a world that does not exist, with a grid of meridians."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[0:256, 0:512].astype(np.float32)
    land = fractal_noise(256, 512, 3, 5, rng, 6, 0.55)
    image = mix(rgb("3f6f86"), rgb("7fa6ac"), np.asarray(0.5 + 0.4 * land, np.float32))
    soil = mix(rgb("c9a865"), rgb("6f7f45"), np.asarray(0.8 * land - 0.2, np.float32))
    image = np.where((land > 0.25)[..., None], soil, image).astype(np.float32)
    image = mix(image, rgb("54422c"), 1.0 * (np.abs(land - 0.25) < 0.045))
    grid = (np.abs((u / 32) % 1 - 0.5) > 0.47) | (np.abs((v / 32) % 1 - 0.5) > 0.46)
    return Texture(mix(image, rgb("efe3c4"), 0.35 * grid))
