"""What the published NeRFiller reads and leaves: a dataset with masks, and renderings."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from epipar_inpaint.masks.mask_set import MaskSet
from epipar_kit.errors import WorkerDiedError
from epipar_scene.arrays import F32, F64, U8
from epipar_scene.cameras import Intrinsics
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.writer import SceneWriter

FREE, DIFFUSION = 3, 5
FILLED_CONFIDENCE = 0.3
"""Of what it filled: it measures nothing itself."""

_MAX_RAW_BYTES = 1 << 30


def write_dataset(scene: SceneFolder, masks: MaskSet, folder: Path) -> None:
    """Write a nerfstudio dataset with a mask for every frame, 0 = hole, which is its polarity too.

    Known depth goes with it, in scene units, 0 = unknown. The method ranks by it only until a view is
    painted, but a dataset without any has nerfstudio fetch ZoeDepth and estimate every view first.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("images", "masks", "depth"):
        (folder / name).mkdir(parents=True)
    description = json.loads((scene.root / "transforms.json").read_bytes())
    entries = {Path(entry["file_path"]).stem: entry for entry in description["frames"]}
    for frame in scene.frames:
        shutil.copyfile(scene.root / frame.image_path, folder / frame.image_path)
        holes = masks.holes(frame)
        keep = np.where(holes.color, 0, 255).astype(np.uint8)
        Image.fromarray(keep).save(folder / "masks" / f"{frame.name}.png")
        entry = entries[frame.name]
        entry["mask_path"] = f"masks/{frame.name}.png"
        depth = np.where(holes.depth, np.float32(0), scene.depth(frame))
        np.save(folder / "depth" / f"{frame.name}.npy", depth)
        entry["depth_file_path"] = f"depth/{frame.name}.npy"
    description.pop("ply_file_path", None)
    (folder / "transforms.json").write_text(json.dumps(description))


def write_view(
    writer: SceneWriter, scene: SceneFolder, masks: MaskSet, frame: Frame, renders: Path
) -> tuple[int, int]:
    """Write a view: known pixels as they were, holes as they were rendered.

    Returns:
        Pixels whose colour comes from diffusion, and pixels where only the depth is new.

    Raises:
        WorkerDiedError: a rendering is missing or has another size.
    """
    holes = masks.holes(frame)
    image, depth = scene.image(frame).copy(), scene.depth(frame).copy()
    confidence = scene.confidence(frame)
    image[holes.color] = _rendered_image(renders, frame)[holes.color]
    rendered = _rendered_depth(renders, frame)
    depth[holes.depth] = np.where(np.isfinite(rendered), rendered, np.float32(0))[holes.depth]
    filled = holes.depth & (depth > 0)
    confidence[holes.depth] = 0
    confidence[filled] = FILLED_CONFIDENCE
    provenance = np.zeros(depth.shape, np.uint8)
    provenance[filled] = FREE
    provenance[holes.color] = DIFFUSION
    writer.write_image(frame.name, image, ".png")
    writer.write_depth(frame.name, depth, confidence)
    sky = scene.sky(frame)
    if sky is not None:
        writer.write_sky(frame.name, sky & (depth <= 0))
    writer.write_provenance(frame.name, provenance)
    return int(holes.color.sum()), int((filled & ~holes.color).sum())


def axial_from_ray(distance: F32, intrinsics: Intrinsics) -> F32:
    """Turn (H, W) distances along the pixels' rays into depth along the optical axis."""
    x = (np.arange(intrinsics.width) + 0.5 - intrinsics.cx) / intrinsics.fx
    y = (np.arange(intrinsics.height) + 0.5 - intrinsics.cy) / intrinsics.fy
    length: F64 = np.sqrt(1 + x[np.newaxis, :] ** 2 + y[:, np.newaxis] ** 2)
    return np.asarray(distance / length, np.float32)


def _rendered_image(renders: Path, frame: Frame) -> U8:
    path = renders / "rgb" / f"{frame.name}.png"
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
    except OSError as error:
        raise _missing(path) from error
    return _checked(path, pixels, frame)


def _rendered_depth(renders: Path, frame: Frame) -> F32:
    path = renders / "raw-depth" / f"{frame.name}.npy.gz"
    try:
        with gzip.open(path) as stream:
            if len(stream.read(_MAX_RAW_BYTES + 1)) > _MAX_RAW_BYTES:
                raise _missing(path)
            stream.seek(0)
            distance = np.load(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _missing(path) from error
    flat = distance.reshape(distance.shape[:2])
    return axial_from_ray(_checked(path, flat, frame), frame.intrinsics)


def _checked(path: Path, pixels: np.ndarray, frame: Frame) -> np.ndarray:
    if pixels.shape[:2] != frame.shape:
        raise WorkerDiedError(
            f"the rendering {path.name} is {pixels.shape[:2]} pixels; it must be {frame.shape}"
        )
    return pixels


def _missing(path: Path) -> WorkerDiedError:
    return WorkerDiedError(
        f"the published NeRFiller left no readable {path.parent.name}/{path.name}"
    )
