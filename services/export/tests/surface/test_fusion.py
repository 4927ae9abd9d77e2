"""Fused surfaces of analytic worlds: where they are, and where they must not be."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import trimesh

from epipar_export.surface.mesh import Mesh

if TYPE_CHECKING:
    from services.export.tests.surface.conftest import World

VOXEL = 0.04


def centres(mesh: Mesh) -> np.ndarray:
    places: np.ndarray = mesh.vertices[mesh.triangles].mean(axis=1)
    return places


def test_a_ball_is_a_closed_ball_to_a_fraction_of_a_voxel(
    ball_world: World, pool: Executor
) -> None:
    mesh = ball_world.fused(pool, VOXEL)
    radius = np.linalg.norm(mesh.vertices, axis=1)
    assert abs(radius.mean() - 1) < 0.2 * VOXEL
    assert np.abs(radius - 1).max() < 0.5 * VOXEL
    edges = np.sort(np.concatenate([mesh.triangles[:, [i, i - 1]] for i in range(3)]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] % 2 == 0).all()
    assert (mesh.normals() * mesh.vertices).sum(axis=1).min() > 0.95
    volume = trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).volume
    assert abs(volume - 4 / 3 * np.pi) < 0.1


def test_a_room_is_its_walls_and_nothing_else(room_world: World, pool: Executor) -> None:
    mesh, _ = room_world.fused(pool, VOXEL).without_small_parts(50)
    low, high = np.array([-2, -1, -1.5]), np.array([2, 1, 2.5])
    off = np.minimum(np.abs(mesh.vertices - low), np.abs(mesh.vertices - high)).min(axis=1)
    assert np.mean(off) < 0.05 * VOXEL
    assert np.quantile(off, 0.99) < 0.3 * VOXEL
    assert off.max() < VOXEL
    # Seen from inside all around, most of the four walls is there.
    area = trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).area
    assert area > 0.9 * 2 * (4 + 4) * 2


def test_no_curtain_hangs_between_a_plate_and_the_wall_behind_it(
    plate_world: World, pool: Executor
) -> None:
    mesh = plate_world.fused(pool, VOXEL)
    depth = centres(mesh)[:, 2]
    between = (depth > 2 + 1.5 * VOXEL) & (depth < 3 - 1.5 * VOXEL)
    assert not between.any()
    assert (np.abs(depth - 2) < VOXEL).sum() > 500
    assert (np.abs(depth - 3) < VOXEL).sum() > 500


def test_what_no_view_saw_stays_open(plate_world: World, pool: Executor) -> None:
    for depth, frame in zip(plate_world.depths, plate_world.frames, strict=True):
        row, column = np.mgrid[:90, :120] + 0.5
        x = (column - 60) / 105 * 3 + frame.cam_to_world[0, 3]
        y = (row - 45) / 105 * 3 + frame.cam_to_world[1, 3]
        depth[(depth > 2.5) & (np.hypot(x - 1.0, y - 0.6) < 0.3)] = 0
    places = centres(plate_world.fused(pool, VOXEL))
    wall = places[places[:, 2] > 2.5]
    distance = np.hypot(wall[:, 0] - 1.0, wall[:, 1] - 0.6)
    assert distance.min() > 0.3 - 2 * VOXEL
    assert (distance < 0.3 + 3 * VOXEL).any()


def test_what_most_views_look_through_is_carved_away(plate_world: World, pool: Executor) -> None:
    # One view of nine claims a blob in mid-air, before the wall.
    plate_world.depths[4][10:25, 85:105] = 1.5
    depth = centres(plate_world.fused(pool, VOXEL))[:, 2]
    assert not ((depth > 1.2) & (depth < 1.9)).any()
    alone = np.abs(depth - 3) < VOXEL
    assert alone.sum() > 500


def test_an_unsure_view_gives_no_surface_of_its_own(plate_world: World, pool: Executor) -> None:
    for depth in plate_world.depths[1:]:
        depth[:] = 0
    assert len(plate_world.fused(pool, VOXEL, confidence=0.9).triangles) > 1000
    assert len(plate_world.fused(pool, VOXEL, confidence=0.1).triangles) == 0


def test_the_result_does_not_depend_on_the_threads(ball_world: World) -> None:
    meshes = []
    for threads in (1, 3):
        with ThreadPoolExecutor(threads) as pool:
            meshes.append(ball_world.fused(pool, VOXEL))
    assert np.array_equal(meshes[0].vertices, meshes[1].vertices)
    assert np.array_equal(meshes[0].triangles, meshes[1].triangles)


def test_small_loose_parts_are_left_out_and_counted() -> None:
    strip = np.array([[i, i % 2, 0] for i in range(12)], np.float32)
    lone = np.array([[90, 0, 0], [91, 0, 0], [90, 1, 0]], np.float32)
    triangles = [[i, i + 1, i + 2] for i in range(10)] + [[12, 13, 14]]
    mesh = Mesh(np.concatenate([strip, lone]), np.array(triangles, np.uint32))
    kept, parts = mesh.without_small_parts(5)
    assert parts == 1
    assert np.array_equal(kept.vertices, strip)
    assert np.array_equal(kept.triangles, triangles[:10])
