"""Open a scene folder with nerfstudio's own dataparser and compare what it sees with what we wrote.

usage: check_nerfstudio.py SCENE_DIR [--max-error 1e-4]

Runs under a Python that has nerfstudio (1.1.5); of ours it needs epipar-scene only. Compares every
pixel's image value and mask exactly, and the world point that nerfstudio's rays and depth give with
ours, relative to the extent of the scene's cameras and points. Prints one JSON line; exit status 1
when they disagree.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "libs" / "scene" / "src"))

from epipar_scene import Frame, SceneFolder
from epipar_scene.arrays import F64
from epipar_scene.geometry import backproject


def nerfstudio_dataset(root: Path) -> Any:
    """Return nerfstudio's depth dataset of all frames, depth in scene units."""
    from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig  # type: ignore[import-not-found, unused-ignore]  # its own environment
    from nerfstudio.data.datasets.depth_dataset import DepthDataset  # type: ignore[import-not-found, unused-ignore]  # its own environment

    config = NerfstudioDataParserConfig(data=root, eval_mode="all", depth_unit_scale_factor=1.0)
    parser = config.setup()
    return DepthDataset(parser.get_dataparser_outputs(split="train"))


def points_by_nerfstudio(dataset: Any, index: int) -> F64:
    """Return (H * W, 3) world points of one frame from its rays and depth, NaN where unknown."""
    import torch  # type: ignore[import-not-found, unused-ignore]  # its own environment

    outputs = dataset._dataparser_outputs  # noqa: SLF001 - it has no public name for them
    rays = outputs.cameras.generate_rays(camera_indices=torch.tensor([[index]])).flatten()
    # Its depth is along the optical axis; a ray's direction is normalised by this norm.
    distance = dataset[index]["depth_image"].reshape(-1, 1) * rays.metadata["directions_norm"]
    seen = (rays.origins + rays.directions * distance).double().numpy()
    seen[distance.numpy()[:, 0] <= 0] = np.nan
    to_dataparser = outputs.dataparser_transform.double().numpy()
    unscaled = seen / outputs.dataparser_scale - to_dataparser[:, 3]
    points: F64 = unscaled @ np.linalg.inv(to_dataparser[:, :3]).T
    return points


def compare(folder: SceneFolder, dataset: Any) -> dict[str, Any]:
    """Return the largest differences over all frames."""
    outputs = dataset._dataparser_outputs  # noqa: SLF001 - it has no public name for them
    seen_names = [path.name for path in outputs.image_filenames]
    wanted_names = [Path(frame.image_path).name for frame in folder.frames]
    if seen_names != wanted_names:
        raise SystemExit(f"frames are {seen_names}; they must be {wanted_names}")
    errors, points, same_images, same_masks = [], [], True, True
    for index, frame in enumerate(folder.frames):
        ours = backproject(folder.depth(frame), frame.intrinsics, frame.cam_to_world)
        theirs = points_by_nerfstudio(dataset, index)
        if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
            raise SystemExit(f"{frame.name}: other pixels have a known depth")
        errors.append(np.nanmax(np.abs(ours - theirs), initial=0))
        points.append(ours[::7])
        image, mask = image_and_mask(dataset[index])
        same_images &= np.array_equal(image, folder.image(frame))
        same_masks &= masks_agree(folder, frame, mask)
    centers = np.stack([frame.cam_to_world[:3, 3] for frame in folder.frames])
    everything = np.concatenate([*points, centers])
    extent = float(np.linalg.norm(np.nanmax(everything, 0) - np.nanmin(everything, 0)))
    return {
        "frames": len(folder.frames),
        "point_error": float(max(errors)),
        "relative_point_error": float(max(errors)) / extent,
        "same_images": same_images,
        "same_masks": same_masks,
    }


def image_and_mask(item: dict[str, Any]) -> tuple[Any, Any]:
    """Return a dataset item's uint8 image and its mask, None where it has none."""
    image = np.rint(item["image"].numpy() * 255).astype(np.uint8)
    return image, item["mask"].numpy()[..., 0] if "mask" in item else None


def masks_agree(folder: SceneFolder, frame: Frame, seen: Any) -> bool:
    """Whether nerfstudio's mask (None: keeps all) is the one that came with the input."""
    ours = folder.mask(frame)
    if ours is None or seen is None:
        return ours is None and seen is None
    return np.array_equal(ours, seen)


def main() -> int:
    """Check the scene of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("scene", type=Path)
    parser.add_argument("--max-error", type=float, default=1e-4, help="relative to the extent")
    arguments = parser.parse_args()
    result = compare(SceneFolder.open(arguments.scene), nerfstudio_dataset(arguments.scene))
    agrees = result["same_images"] and result["same_masks"]
    agrees = agrees and result["relative_point_error"] <= arguments.max_error
    print(json.dumps({**result, "agrees": agrees}))
    return 0 if agrees else 1


if __name__ == "__main__":
    raise SystemExit(main())
