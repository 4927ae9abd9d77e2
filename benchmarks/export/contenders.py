"""The contenders, each run in a process of its own: python -m benchmarks.export.contenders NAME N DIR.

Prints one JSON line: CPU-seconds, wall, peak memory, bytes, and where two samples lie: some decoded
points (full.npy) and the level nearest to a tenth of the points (coarse.npy), in the input's axes.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.export.clouds import room_cloud
from epipar_export.options import ExportOptions
from epipar_scene.arrays import F32, F64
from epipar_scene.clouds import PointCloud

CACHE = Path(__file__).parents[2] / ".bench_cache"
SAMPLE = 100_000
DRACO_POINTS = 200_000
Facts = dict[str, Any]


def cloud_of(count: int) -> PointCloud:
    """Load the benchmark's cloud, made once."""
    folder = CACHE / f"cloud_{count}"
    if not folder.exists():
        cloud = room_cloud(count)
        folder.mkdir(parents=True)
        np.save(folder / "positions.npy", cloud.positions)
        np.save(folder / "colors.npy", cloud.colors)
        np.save(folder / "confidence.npy", cloud.confidence)
    names = ("positions", "colors", "confidence")
    return PointCloud(*(np.load(folder / f"{name}.npy") for name in names))


@contextmanager
def measured(facts: Facts) -> Iterator[None]:
    """Measure this process and the children that end inside."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, wall = time.process_time(), time.perf_counter()
    yield
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    of_children = after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime
    facts["wall_s"] = time.perf_counter() - wall
    facts["cpu_s"] = time.process_time() - cpu + of_children
    facts["peak_mb"] = (after.ru_maxrss if of_children > 0.5 else _own_peak_kb()) / 1024


def _own_peak_kb() -> int:
    """Return this program's peak; ru_maxrss would count what its parent held at the fork, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def size_of(*paths: Path) -> int:
    """Sum the sizes of files, and of all files of folders."""
    files = [f for p in paths for f in (p.rglob("*") if p.is_dir() else [p]) if f.is_file()]
    return sum(file.stat().st_size for file in files)


def keep(work: Path, full: F64 | F32, coarse: F64 | F32 | None = None) -> None:
    """Store samples of decoded points for the comparison."""
    step = max(1, len(full) // SAMPLE)
    np.save(work / "full.npy", np.asarray(full[::step], np.float64))
    if coarse is not None:
        np.save(work / "coarse.npy", np.asarray(coarse, np.float64))


def _epipar(count: int, work: Path, **options: Any) -> Facts:
    from epipar_export.exporter import export_cloud
    from epipar_export.precompress import zstd
    from epipar_export.warming import compile_ahead
    from epipar_scene.ply import read_ply

    compile_ahead("points")  # as the export's job does
    cloud = cloud_of(count)
    out = work / "out"
    out.mkdir()
    export_cloud(cloud.take(slice(0, 20_000)), out, ExportOptions(**options))  # load the kernels
    facts: Facts = {}
    with measured(facts):
        result = export_cloud(cloud, out, ExportOptions(**options), input_hash="0" * 64)
    manifest = json.loads((out / "export.json").read_text())
    facts["stages"] = result.stage_seconds
    if options.get("write_tiles", True):
        facts["bytes"] = size_of(out / "tileset.json", out / "tiles")
        facts["first_bytes"] = manifest["tiles"]["first_bytes"]
        files = [out / "tileset.json", *(out / "tiles").iterdir()]
        facts["bytes_zstd"] = sum(len(zstd(file.read_bytes())) for file in files)
    else:
        facts["bytes"] = size_of(out / "scene_full.glb")
        facts["bytes_zstd"] = len(zstd((out / "scene_full.glb").read_bytes()))
    stored, zipped = _confidence_bytes(out)
    facts["confidence_bytes"], facts["confidence_zstd"] = stored, zipped
    facts["bytes"] -= stored
    facts["bytes_zstd"] -= zipped
    facts["levels"] = [(level.name, level.points, level.size_bytes) for level in result.levels]
    check = work / "check"
    check.mkdir()
    again = dict(options) | {"write_ply": True, "write_glb": False, "write_tiles": False}
    export_cloud(cloud, check, ExportOptions(**again), input_hash="0" * 64)
    points = read_ply(check / "cloud.ply").positions
    level = min(result.levels, key=lambda one: abs(one.points - count / 10))
    keep(work, points, points[: level.points])
    np.save(work / "preview.npy", np.asarray(points[: result.levels[0].points], np.float64))
    return facts


def _confidence_bytes(out: Path) -> tuple[int, int]:
    """Return the bytes of _CONFIDENCE, as stored and with zstd; 0 where Draco mixes them in."""
    import zstandard

    packed = zstandard.ZstdCompressor(level=9)
    files = list((out / "tiles").glob("*.glb")) if (out / "tiles").exists() else []
    stored = zipped = 0
    for file in files or [out / "scene_full.glb"]:
        data = file.read_bytes()
        size = struct.unpack_from("<I", data, 12)[0]
        document, binary = json.loads(data[20 : 20 + size]), data[28 + size :]
        for primitive in document["meshes"][0]["primitives"]:
            accessor = document["accessors"][primitive["attributes"]["_CONFIDENCE"]]
            if "bufferView" not in accessor:
                return 0, 0
            view = document["bufferViews"][accessor["bufferView"]]
            place = next(iter(view.get("extensions", {"": view}).values()))
            start = place.get("byteOffset", 0)
            stored += place["byteLength"]
            zipped += len(packed.compress(binary[start : start + place["byteLength"]]))
    return stored, zipped


def epipar_tiles(count: int, work: Path) -> Facts:
    """Our tiles alone, 14 bits."""
    return _epipar(count, work, write_glb=False, write_ply=False)


def epipar_all(count: int, work: Path) -> Facts:
    """Our tiles and the three GLBs, 14 bits."""
    return _epipar(count, work, write_ply=False)


def epipar_12_bits(count: int, work: Path) -> Facts:
    """Our tiles alone, 12 bits."""
    return _epipar(count, work, write_glb=False, write_ply=False, position_bits=12)


def epipar_draco(count: int, work: Path) -> Facts:
    """Our GLBs with Draco in Morton order."""
    return _epipar(count, work, codec="draco", write_tiles=False, write_ply=False)


def _las(count: int, path: Path, scale: float) -> None:
    import laspy

    cloud = cloud_of(count)
    header = laspy.LasHeader(point_format=2, version="1.2")
    header.scales = np.full(3, scale)
    las = laspy.LasData(header)
    las.xyz = cloud.positions.astype(np.float64)
    for name, channel in zip(("red", "green", "blue"), cloud.colors.T, strict=True):
        setattr(las, name, channel.astype(np.uint16) * 256)
    las.write(str(path))


def laz(count: int, work: Path) -> Facts:
    """LAZ with a scale of our 14-bit grid's step."""
    import laspy

    facts: Facts = {}
    step = float(np.ptp(cloud_of(count).positions, axis=0).max()) / 16383
    with measured(facts):
        _las(count, work / "cloud.laz", step)
    facts["bytes"] = size_of(work / "cloud.laz")
    keep(work, np.asarray(laspy.read(work / "cloud.laz").xyz))
    return facts


def py3dtiles(count: int, work: Path) -> Facts:
    """py3dtiles convert with 2 jobs, from LAS, in its own environment."""
    program = CACHE / "py3dtiles/bin/py3dtiles"
    _las(count, work / "cloud.las", 1e-5)
    facts: Facts = {}
    command: list[str | Path] = [
        program,
        "convert",
        work / "cloud.las",
        "--out",
        work / "out",
        "--jobs",
        "2",
    ]
    with measured(facts):
        subprocess.run(command, check=True, capture_output=True)
    facts["bytes"] = size_of(work / "out")
    facts["note"] = "peak: largest of its processes"
    levels = _pnts_levels(work / "out/tileset.json")
    together = [np.concatenate(levels[: n + 1]) for n in range(len(levels))]
    keep(work, together[-1], min(together, key=lambda part: abs(len(part) - count / 10)))
    return facts


def _pnts_levels(tileset: Path) -> list[F64]:
    levels: dict[int, list[F64]] = {}

    def visit(tile: Facts, folder: Path, above: F64, depth: int) -> None:
        own = above @ np.array(tile.get("transform", np.eye(4).ravel("F"))).reshape(4, 4).T
        uri = tile.get("content", {}).get("uri", "")
        if uri.endswith(".json"):
            visit(json.loads((folder / uri).read_text())["root"], (folder / uri).parent, own, depth)
        elif uri:
            data = (folder / uri).read_bytes()
            json_bytes = struct.unpack_from("<I", data, 12)[0]
            table = json.loads(data[28 : 28 + json_bytes])
            start = 28 + json_bytes + table["POSITION"]["byteOffset"]
            points = np.frombuffer(data, "<f4", 3 * table["POINTS_LENGTH"], start).reshape(-1, 3)
            levels.setdefault(depth, []).append(points @ own[:3, :3].T + own[:3, 3])
        for child in tile.get("children", []):
            visit(child, folder, own, depth + 1)

    visit(json.loads(tileset.read_text())["root"], tileset.parent, np.eye(4), 0)
    return [np.concatenate(levels[depth]) for depth in sorted(levels)]


def trimesh_glb(count: int, work: Path) -> Facts:
    """Trimesh's GLB of a point cloud: raw floats and bytes."""
    import trimesh

    cloud = cloud_of(count)
    facts: Facts = {}
    with measured(facts):
        alpha = np.full((count, 1), 255, np.uint8)
        library: Any = trimesh  # half typed
        points = library.PointCloud(cloud.positions, colors=np.hstack([cloud.colors, alpha]))
        (work / "cloud.glb").write_bytes(library.Scene(points).export(file_type="glb"))
    facts["bytes"] = size_of(work / "cloud.glb")
    keep(work, cloud.positions)
    return facts


def gltfpack(count: int, work: Path) -> Facts:
    """Gltfpack -cz on trimesh's GLB: KHR meshopt, 14 and 8 bits; a tenth by -si 0.1."""
    import zstandard

    trimesh_glb(count, work)
    program = CACHE / "npm/node_modules/.bin/gltfpack"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    facts: Facts = {}
    base: list[str | Path] = [program, "-i", work / "cloud.glb", "-cz", "-ce", "khr"]
    environment = {**os.environ, "PATH": path}
    with measured(facts):
        subprocess.run([*base, "-o", work / "packed.glb"], check=True, env=environment)
    facts["bytes"] = size_of(work / "packed.glb")
    data = (work / "packed.glb").read_bytes()
    facts["bytes_zstd"] = len(zstandard.ZstdCompressor(level=9).compress(data))
    tenth = [*base, "-si", "0.1", "-o", work / "tenth.glb"]
    subprocess.run(tenth, check=True, env=environment)
    keep(work, _meshopt_positions(work / "packed.glb"), _meshopt_positions(work / "tenth.glb"))
    return facts


def _meshopt_positions(path: Path) -> F64:
    import meshopt

    data = path.read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    document, binary = json.loads(data[20 : 20 + size]), data[28 + size :]
    accessor = document["accessors"][
        document["meshes"][0]["primitives"][0]["attributes"]["POSITION"]
    ]
    view = next(iter(document["bufferViews"][accessor["bufferView"]]["extensions"].values()))
    start = view.get("byteOffset", 0)
    coded = binary[start : start + view["byteLength"]]
    rows = meshopt.decode_vertex_buffer(coded, view["count"], view["byteStride"])
    node = next(node for node in document["nodes"] if "mesh" in node)
    places = rows.view(np.uint16)[:, :3].astype(np.float64)
    placed: F64 = places * node.get("scale", [1, 1, 1]) + node.get("translation", [0, 0, 0])
    return placed


def dracopy(count: int, work: Path) -> Facts:
    """DracoPy of the whole cloud as it comes; slower than linear."""
    return _dracopy(cloud_of(count), count, work)


def dracopy_part(count: int, work: Path) -> Facts:
    """DracoPy of the first 200,000 points as they come, so that there is a row that ends."""
    return _dracopy(cloud_of(count).take(slice(0, DRACO_POINTS)), count, work)


def _dracopy(cloud: PointCloud, count: int, work: Path) -> Facts:
    import DracoPy

    facts: Facts = {}
    with measured(facts):
        data = DracoPy.encode(cloud.positions, quantization_bits=14, colors=cloud.colors)
    facts["bytes"] = len(data) * count // len(cloud)
    keep(work, np.asarray(DracoPy.decode(data).points))
    return facts


CONTENDERS: dict[str, Callable[[int, Path], Facts]] = {
    "epipar_tiles": epipar_tiles,
    "epipar_all": epipar_all,
    "epipar_12_bits": epipar_12_bits,
    "epipar_draco": epipar_draco,
    "py3dtiles": py3dtiles,
    "gltfpack": gltfpack,
    "dracopy": dracopy,
    "dracopy_part": dracopy_part,
    "trimesh": trimesh_glb,
    "laz": laz,
}


def main() -> None:
    """Run one contender."""
    name, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(json.dumps(CONTENDERS[name](count, folder)))


if __name__ == "__main__":
    main()
