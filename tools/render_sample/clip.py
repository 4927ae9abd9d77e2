"""The sample's files: the video, the ground truth beside it, and a still picture."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from epipar_scene.arrays import F64, U8
from epipar_scene.cameras import Intrinsics
from tools.render_sample.camera import intrinsics, pose
from tools.render_sample.light import bake
from tools.render_sample.render import develop, render_depth, render_light
from tools.render_sample.room import reading_nook
from tools.render_sample.scene import Scene, build_scene

Report = Callable[[str, float], None]
DEPTH_EVERY = 4
_FRAMES_PER_SECOND = 15
_CRF_BEST, _CRF_WORST = 14, 40
_GRAIN = 0.8  # grey levels
_STILL_AT = 0.56  # of the walk
_STILL_BYTES = 300_000


@dataclass(frozen=True, slots=True)
class ClipOptions:
    """What to render; see the command's help for each value.

    Raises:
        ValueError: a value is out of its bounds.
    """

    frames: int = 60
    width: int = 640
    height: int = 480
    samples: int = 2
    rays: int = 32
    seed: int = 7
    limit_bytes: int = 3_000_000

    def __post_init__(self) -> None:
        bounds = {"frames": (1, 1000), "width": (16, 4096), "height": (16, 4096)}
        bounds |= {"samples": (1, 8), "rays": (1, 1024), "limit_bytes": (10_000, 1 << 30)}
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; it must be {low} to {high}")
        if self.width % 2 or self.height % 2:
            raise ValueError(f"size is {self.width}x{self.height}; H.264 wants even sides")


def lit_scene(seed: int, rays: int, report: Report) -> Scene:
    """Build the nook and bake its light."""
    report("textures", 0.0)
    surfaces = reading_nook(seed)
    report("textures", 1.0)
    scene = build_scene(surfaces)
    bake(scene, surfaces, rays, report)
    return scene


def poses(frames: int) -> list[F64]:
    """Return every frame's camera-to-world, evenly spaced along the walk."""
    return [pose(k / max(frames - 1, 1)) for k in range(frames)]


def render_frame(scene: Scene, options: ClipOptions, number: int) -> U8:
    """Return frame `number` of the clip, (H, W, 3) sRGB; the same options give the same pixels."""
    rng = np.random.default_rng([options.seed, number])
    camera = intrinsics(options.width, options.height)
    light = render_light(scene, camera, poses(options.frames)[number], options.samples)
    exposure = 1 + 0.03 * np.sin(0.19 * number + 0.8)
    return develop(light, exposure, _GRAIN, rng)


def write_sample(folder: Path, scene: Scene, options: ClipOptions, report: Report) -> None:
    """Render and write clip.mp4, ground_truth.json and depth/NNNN.png for every fourth frame."""
    (folder / "depth").mkdir(parents=True, exist_ok=True)
    camera = intrinsics(options.width, options.height)
    pictures = []
    for number, cam_to_world in enumerate(poses(options.frames)):
        report("frames", number / options.frames)
        pictures.append(render_frame(scene, options, number))
        if number % DEPTH_EVERY == 0:
            depth = render_depth(scene.bvh, camera, cam_to_world)
            _write(folder / "depth" / f"{number:04d}.png", depth_png(depth))
    report("frames", 1.0)
    report("video", 0.0)
    _write(folder / "clip.mp4", encode_under(pictures, options.limit_bytes))
    _write(folder / "ground_truth.json", _truth(camera, options).encode())
    report("video", 1.0)


def write_still(path: Path, scene: Scene, width: int, height: int, samples: int, seed: int) -> None:
    """Render one picture without grain and write it as a JPEG below 300 kB."""
    light = render_light(scene, intrinsics(width, height), pose(_STILL_AT), samples)
    picture = Image.fromarray(develop(light, 1.0, 0.0, np.random.default_rng(seed)))
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in range(94, 30, -2):
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=quality, optimize=True)
        if data.tell() <= _STILL_BYTES:
            break
    _write(path, data.getvalue())


def depth_png(depth: F64) -> bytes:
    """Return a depth map in metres as a 16-bit PNG of millimetres; 0 is unknown."""
    known = np.isfinite(depth) & (depth > 0) & (depth < 65.5)
    millimetres = np.round(np.where(known, depth, 0.0) * 1000).astype(np.uint16)
    data = io.BytesIO()
    Image.fromarray(millimetres).save(data, "PNG", optimize=True)
    return data.getvalue()


def encode_under(pictures: Sequence[U8], limit_bytes: int) -> bytes:
    """Return an H.264 MP4 of the best quality that fits.

    Raises:
        ValueError: even the worst quality is too large.
    """
    low, high = _CRF_BEST, _CRF_WORST
    best = b""
    while low <= high:
        middle = (low + high) // 2
        data = _encoded(pictures, middle)
        if len(data) <= limit_bytes:
            best, high = data, middle - 1
        else:
            low = middle + 1
    if not best:
        raise ValueError(f"the clip is over {limit_bytes} bytes even at CRF {_CRF_WORST}")
    return best


def _encoded(pictures: Sequence[U8], crf: int) -> bytes:
    import av

    data = io.BytesIO()
    with av.open(data, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=_FRAMES_PER_SECOND)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "slow", "threads": "1"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return data.getvalue()


def _truth(camera: Intrinsics, options: ClipOptions) -> str:
    truth = {
        "width": camera.width,
        "height": camera.height,
        "K": camera.matrix().tolist(),
        "camera_to_world": [matrix.tolist() for matrix in poses(options.frames)],
        "axes": "OpenCV (x right, y down, z forward), pixel centres at +0.5; world y down, metres",
        "depth": f"uint16 millimetres along the optical axis, 0 = unknown, every {DEPTH_EVERY}th frame",
        "source": f"tools/render_sample, seed {options.seed}",
    }
    return json.dumps(truth, indent=1) + "\n"


def _write(path: Path, data: bytes) -> None:
    """Write under a temporary name, then rename."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
