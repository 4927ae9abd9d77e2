"""Open3D's VoxelBlockGrid on the same views; runs in an environment of its own, without Epipar.

python open3d_side.py VIEWS.npz MESH.npz VOXEL TRUNCATION MIN_WEIGHT
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
import open3d as o3d


def main() -> None:
    """Fuse, extract, write the mesh and print what it took."""
    views = np.load(sys.argv[1])
    voxel, truncation, least = (float(value) for value in sys.argv[3:6])
    device = o3d.core.Device("CPU:0")
    start, wall = time.process_time(), time.perf_counter()
    grid = o3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight", "color"),
        (o3d.core.float32, o3d.core.float32, o3d.core.float32),
        ((1), (1), (3)),
        voxel,
        8,
        20000,
        device,
    )
    intrinsics = o3d.core.Tensor(views["intrinsics"])
    for depth, image, pose in zip(views["depths"], views["images"], views["poses"], strict=True):
        extrinsics = o3d.core.Tensor(pose)
        seen = o3d.t.geometry.Image(o3d.core.Tensor(depth))
        color = o3d.t.geometry.Image(o3d.core.Tensor(image.astype(np.float32)))
        # The multiplier is in voxels.
        multiplier = truncation / voxel
        blocks = grid.compute_unique_block_coordinates(
            seen, intrinsics, extrinsics, 1.0, 100.0, multiplier
        )
        grid.integrate(
            blocks, seen, color, intrinsics, intrinsics, extrinsics, 1.0, 100.0, multiplier
        )
    mesh = grid.extract_triangle_mesh(least)
    took = time.process_time() - start, time.perf_counter() - wall
    np.savez(
        sys.argv[2],
        vertices=mesh.vertex.positions.numpy(),
        triangles=mesh.triangle.indices.numpy(),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"cpu_s": took[0], "wall_s": took[1], "peak_mb": peak}))


if __name__ == "__main__":
    main()
