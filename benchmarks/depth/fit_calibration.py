"""Fit an engine's score to P(relative depth error < 5 %) on scenes with known truth.

Give finished scenes and their truths as SCENE=TRUTH: SCENE a folder as `epipar reconstruct` makes
it, TRUTH a ground_truth.json with depth/*.png (millimetres) beside it. Scenes after --held-out are
not fitted on; the calibration error on them is what to expect. The result is a JSON file that
epipar_depth.calibration loads.

    python -m benchmarks.depth.fit_calibration a=a/ground_truth.json b=b/ground_truth.json \
        --held-out c=c/ground_truth.json -o da3-base.json
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.depth.score import Truth
from epipar_depth.calibration import RIGHT_WITHIN, Calibration, Tally
from epipar_scene.folder import SceneFolder


def tally_of(scene: SceneFolder, truth: Truth, tally: Tally) -> int:
    """Count every pixel that has depth and a truth; return the number of frames that have one."""
    scale, _ = truth.scale_of(scene)
    frames = 0
    for frame in scene.frames:
        exact = truth.depth(int(frame.source_frame))
        if exact is None:
            continue
        depth, confidence = scene.depth(frame), scene.confidence(frame)
        used = (exact > 0) & (depth > 0)
        error = np.abs(depth[used] * scale - exact[used]) / exact[used]
        tally.add(confidence[used], error < RIGHT_WITHIN)
        frames += 1
    return frames


def pair(text: str) -> tuple[Path, Path]:
    """Read SCENE=TRUTH."""
    scene, sign, truth = text.rpartition("=")
    if not (scene and sign and truth):
        raise argparse.ArgumentTypeError(f"{text!r} must be SCENE=TRUTH")
    return Path(scene), Path(truth)


def count(pairs: list[tuple[Path, Path]]) -> tuple[Tally, list[dict[str, Any]]]:
    """Count all scenes; return also what each was.

    Raises:
        ValueError: a scene's confidence is a probability already, or the engines differ.
    """
    tally, footage = Tally(), []
    for scene_path, truth_path in pairs:
        scene = SceneFolder.open(scene_path)
        if scene.info.confidence_kind != "SCORE":
            raise ValueError(f"{scene_path}: confidence is {scene.info.confidence_kind}, not SCORE")
        frames = tally_of(scene, Truth(truth_path), tally)
        footage.append(
            {
                "source": scene.info.source.name,
                "source_sha256": scene.info.source.sha256,
                "engine": scene.info.engine.name,
                "engine_version": scene.info.engine.version,
                "frames": frames,
            }
        )
    makers = {(one["engine"], one["engine_version"]) for one in footage}
    if len(makers) > 1:
        raise ValueError(f"scenes are of several engines: {sorted(makers)}")
    return tally, footage


def main() -> None:
    """Count, fit, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenes", nargs="+", type=pair, metavar="SCENE=TRUTH")
    parser.add_argument("--held-out", nargs="+", type=pair, default=[], metavar="SCENE=TRUTH")
    parser.add_argument("--model", required=True, help="the engine's model, such as da3-base")
    parser.add_argument("-o", "--output", required=True, type=Path, help="the JSON file to write")
    arguments = parser.parse_args()
    try:
        tally, footage = count(arguments.scenes)
        held, held_footage = count(arguments.held_out)
        scores, probabilities = tally.curve()
    except ValueError as error:
        sys.exit(str(error))
    provenance: dict[str, Any] = {
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "fitted_on": footage,
        "pixels": tally.count,
        "right_share": tally.right_share,
        "held_out": held_footage,
    }
    engine = footage[0]["engine"]
    calibration = Calibration(engine, arguments.model, scores, probabilities, provenance)
    provenance["calibration_error_fitted"] = tally.error_of(calibration)
    print(f"fitted on {tally.count} pixels, {tally.right_share:.4f} right, {len(scores)} knots")
    print(f"error of the score:        {tally.error_of(None):.4f}")
    print(f"error of the probability:  {tally.error_of(calibration):.4f}")
    if held.count:
        provenance["calibration_error_held_out"] = held.error_of(calibration)
        print(f"held out, {held.count} pixels, {held.right_share:.4f} right")
        print(f"error of the score:        {held.error_of(None):.4f}")
        print(f"error of the probability:  {held.error_of(calibration):.4f}")
    Calibration(engine, arguments.model, scores, probabilities, provenance).save(arguments.output)


if __name__ == "__main__":
    main()
