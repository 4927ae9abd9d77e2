"""Draws a cloud as a PNG: python tools/render_cloud.py CLOUD OUT.png [--eye X,Y,Z --target X,Y,Z].

CLOUD is a PLY, one of the exporter's meshopt or uncompressed GLBs, or a scene folder. World axes: x
right, y down, z forward. Without a camera it looks along z from before the cloud.
"""

from __future__ import annotations

import argparse
import json
import math
import struct
from pathlib import Path
from typing import Any

import meshopt
import numba as nb
import numpy as np
from PIL import Image

from epipar_scene.arrays import F64, U8
from epipar_scene.cameras import Intrinsics, world_from_gltf
from epipar_scene.clouds import PointCloud, cloud_from_frames
from epipar_scene.folder import SceneFolder
from epipar_scene.geometry import look_at, project
from epipar_scene.ply import read_ply

BACKGROUND = (24, 26, 30)


def read_cloud(path: Path) -> PointCloud:
    """Read a PLY, a GLB or the points of a scene folder."""
    if path.is_dir():
        return cloud_from_frames(SceneFolder.open(path))
    return read_glb(path) if path.suffix == ".glb" else read_ply(path)


def read_glb(path: Path) -> PointCloud:
    """Read the points of a GLB that the exporter wrote with meshopt or without compression."""
    data = path.read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    document: dict[str, Any] = json.loads(data[20 : 20 + size])
    binary = data[28 + size :]
    if "KHR_draco_mesh_compression" in document.get("extensionsUsed", ()):
        raise SystemExit(f"{path} is Draco's; render its cloud.ply instead")
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    node = document["nodes"][0]
    grid = _rows(document, binary, attributes["POSITION"])[:, :3].astype(np.float64)
    places = grid * node["scale"] + node["translation"]
    linear = _rows(document, binary, attributes["COLOR_0"])[:, :3] / 65535
    dark, light = linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055
    colors = np.rint(np.where(linear <= 0.0031308, dark, light) * 255).astype(np.uint8)
    confidence = _rows(document, binary, attributes["_CONFIDENCE"])[:, 0].copy()
    return PointCloud(world_from_gltf(places.astype(np.float32)), colors, confidence)


def _rows(document: dict[str, Any], binary: bytes, number: int) -> np.ndarray[Any, Any]:
    accessor = document["accessors"][number]
    view = document["bufferViews"][accessor["bufferView"]]
    kind = {5121: np.uint8, 5123: np.uint16, 5126: np.float32}[accessor["componentType"]]
    for extension in view.get("extensions", {}).values():
        start = extension.get("byteOffset", 0)
        coded = binary[start : start + extension["byteLength"]]
        rows = meshopt.decode_vertex_buffer(
            coded, extension["count"], extension["byteStride"], extension.get("filter", "NONE")
        )
        return np.asarray(rows).view(kind)
    start = view.get("byteOffset", 0)
    plain = np.frombuffer(binary[start : start + view["byteLength"]], np.uint8)
    return plain.reshape(-1, view["byteStride"]).view(kind)


@nb.njit(cache=True)  # type: ignore[untyped-decorator]  # numba is untyped here
def _splat(pixels: F64, depth: F64, colors: U8, radius: F64, nearest: F64, image: U8) -> None:
    height, width = nearest.shape
    for i in range(len(depth)):
        if not depth[i] > 0:
            continue
        r = radius[i]
        for row in range(
            max(0, math.ceil(pixels[i, 1] - r - 0.5)),
            min(height, math.floor(pixels[i, 1] + r - 0.5) + 1),
        ):
            for column in range(
                max(0, math.ceil(pixels[i, 0] - r - 0.5)),
                min(width, math.floor(pixels[i, 0] + r - 0.5) + 1),
            ):
                if depth[i] < nearest[row, column]:
                    nearest[row, column] = depth[i]
                    for channel in range(3):
                        image[row, column, channel] = colors[i, channel]


def render(cloud: PointCloud, pose: F64, camera: Intrinsics, spacing: float) -> U8:
    """Draw square splats of `spacing` scene units, the nearest on top; an (H, W, 3) image."""
    pixels, depth = project(cloud.positions, camera, pose)
    radius = np.clip(0.5 * spacing * camera.fx / np.where(depth > 0, depth, 1), 0.71, 20)
    nearest = np.full((camera.height, camera.width), np.inf)
    image = np.full((camera.height, camera.width, 3), BACKGROUND, np.uint8)
    with np.errstate(invalid="ignore"):
        _splat(np.nan_to_num(pixels), np.nan_to_num(depth), cloud.colors, radius, nearest, image)
    return image


def _point(text: str) -> list[float]:
    values = [float(part) for part in text.split(",")]
    if len(values) != 3:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,Z")
    return values


def main() -> None:
    """Draw what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cloud", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--eye", type=_point)
    parser.add_argument("--target", type=_point)
    parser.add_argument("--size", type=int, nargs=2, default=(960, 640), metavar=("W", "H"))
    parser.add_argument("--fov", type=float, default=60.0, help="across, degrees")
    parser.add_argument("--spacing", type=float, default=0.0, help="side of a splat, scene units")
    parser.add_argument("--confidence", action="store_true", help="draw confidence, not colour")
    arguments = parser.parse_args()
    cloud = read_cloud(arguments.cloud)
    middle = np.median(cloud.positions, axis=0)
    extent = float(np.ptp(cloud.positions, axis=0).max())
    eye = arguments.eye or [middle[0], middle[1], middle[2] - 1.2 * extent]
    width, height = arguments.size
    focal = width / 2 / math.tan(math.radians(arguments.fov) / 2)
    camera = Intrinsics(width, height, focal, focal, width / 2, height / 2)
    if arguments.confidence:
        level = cloud.confidence[:, None].astype(np.int32)
        colors = np.hstack([255 - level, level, 0 * level + 60]).astype(np.uint8)
        cloud = PointCloud(cloud.positions, colors, cloud.confidence)
    pose = look_at(eye, arguments.target or middle)
    Image.fromarray(render(cloud, pose, camera, arguments.spacing)).save(arguments.out)


if __name__ == "__main__":
    main()
