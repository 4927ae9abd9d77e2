"""Rendered rooms that neither settings nor confidence were chosen on: does what is expected hold there?

``python -m benchmarks.depth.held_out [--frames 24] [--write]`` renders rooms whose seeds no fit has
used, in a range of noise and of plain walls, and runs the engine "mvs" on their videos. A room's
"expected" is the mean confidence of what stayed, "right" the share of it within 5 % of the truth. Depth
is scaled by the median of true over found, as in ``fit_confidence``: on these short arcs, which hardly
turn, the focal length ("focal": found over true) is poorly told, and a scale by the cameras would
measure that alone. About a CPU-minute a room.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.depth.fit_confidence import CAMERA
from benchmarks.depth.score import Truth, score
from epipar_depth.engine import DepthRequest
from epipar_depth.mvs import MvsEngine
from epipar_depth.testing import arc_poses, furnished_room, noisy_frames, write_clip
from epipar_scene.content_hash import sha256_of_input
from epipar_scene.folder import SceneFolder

# seed, boxes, plain walls, noise in grey levels, span in metres; no seed of fit_confidence.ROOMS
ROOMS = ((41, 6, 1, 1.5, 1.6), (42, 8, 3, 3.0, 1.8), (43, 4, 4, 4.0, 1.3), (44, 7, 2, 6.0, 1.6))
HEAD = (
    "| room | plain walls | noise, grey levels | frames | ATE % | focal | least confidence | expected | right "
    "| coverage | AbsRel | gross | ECE |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


class _Rendered(Truth):
    """The truth of a room, whose scale is that of its depth."""

    def scale_of(self, scene: SceneFolder) -> tuple[float, float]:
        """Return metres per scene unit by depth, and the error of the camera centres in percent."""
        ratios = []
        for frame in scene.frames:
            exact, depth = self.depth(int(frame.source_frame)), scene.depth(frame)
            if exact is not None:
                used = (depth > 0) & (exact > 0)
                ratios.append((exact[used] / depth[used])[::11])
        return float(np.median(np.concatenate(ratios))), super().scale_of(scene)[1]


def main() -> None:
    """Measure every room and print, or keep, the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=24, help="of each room")
    parser.add_argument("--write", action="store_true", help="keep the table in held_out.md")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    rows = [HEAD]
    for room in ROOMS:
        with tempfile.TemporaryDirectory() as temporary:
            rows.append(_row(room, Path(temporary), arguments.frames))
        print("\n".join(rows), flush=True)
    if arguments.write:
        path = Path(__file__).parent / "held_out.md"
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _row(room: tuple[int, int, int, float, float], folder: Path, frames: int) -> str:
    seed, _, plain, noise, _ = room
    render_room(room, folder, frames)
    clip, output = folder / "clip.mp4", folder / "scene"
    MvsEngine().run(DepthRequest(clip, output, sha256_of_input(clip)), lambda *_: None)
    scene = SceneFolder.open(output)
    confidences = [scene.confidence(frame)[scene.depth(frame) > 0] for frame in scene.frames]
    found = score(
        scene,
        _Rendered(folder / "ground_truth.json"),
        lambda frame: (scene.depth(frame), scene.confidence(frame)),
    )
    return (
        f"| {seed} | {plain} | {noise} | {found.frames} | {found.ate_percent:.2f} "
        f"| {scene.frames[0].intrinsics.fx / CAMERA.fx:.3f} "
        f"| {scene.info.metrics['least_confidence']:.2f} "
        f"| {np.concatenate(confidences).mean():.3f} | {found.within_5:.3f} "
        f"| {found.coverage:.3f} | {found.absrel:.4f} | {found.gross:.4f} | {found.calibration:.3f} |"
    )


def render_room(room: tuple[int, int, int, float, float], folder: Path, frames: int) -> None:
    """Write a room's video and its truth, as the sample's are."""
    seed, boxes, plain, noise, span = room
    poses = arc_poses(frames, span_m=span)
    scene = furnished_room(seed, boxes=boxes, plain_walls=plain)
    rendered = list(noisy_frames(scene, CAMERA, poses, noise=noise, seed=seed))
    write_clip(folder / "clip.mp4", [picture for picture, _ in rendered])
    (folder / "depth").mkdir()
    for index, (_, depth) in enumerate(rendered):
        millimetres = np.rint(depth * 1000).astype(np.uint16)
        cv2.imwrite(str(folder / "depth" / f"{index:04d}.png"), millimetres)
    text = json.dumps({"camera_to_world": poses.tolist(), "K": CAMERA.matrix().tolist()})
    (folder / "ground_truth.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
