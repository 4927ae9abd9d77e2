"""`epipar demo`: the sample clip becomes a scene and its files, and is compared with the truth."""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from epipar_cli.contact_sheet import write_contact_sheet
from epipar_cli.export import export_locally
from epipar_cli.output import Reporter
from epipar_cli.reconstruct import reconstruct_locally
from epipar_cli.score import Score, score_scene
from epipar_client import (
    CorruptArtifactError,
    DepthOptions,
    ExportOptions,
    ExportResult,
    NotFoundError,
    SceneResult,
)
from epipar_scene.errors import SceneFormatError
from epipar_scene.folder import SceneFolder

SAMPLE = Path("examples/sample")
CLIP = "clip.mp4"
TRUTH = "ground_truth.json"


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """Reconstruct, export, score and picture the sample.

    Raises:
        EpiparError: a step failed.
    """
    sample = find_sample(Path(arguments.sample) if arguments.sample else None)
    output = Path(arguments.output).resolve()
    scene_path = output / "scene"
    reporter.event("step", f"reconstructing {sample / CLIP}", {"step": "reconstruct"})
    reconstructed = await reconstruct_locally(
        sample / CLIP, scene_path, None, DepthOptions(), reporter
    )
    reporter.close()
    reporter.event("step", f"exporting {scene_path}", {"step": "export"})
    exported = await export_locally(scene_path, None, ExportOptions(), reporter)
    picture = output / "overview.png"
    truth = sample / TRUTH
    try:
        scene = SceneFolder.open(scene_path)
        write_contact_sheet(scene, picture)
        score = score_scene(scene, truth) if truth.exists() else None
    except SceneFormatError as error:
        raise CorruptArtifactError(str(error), reason="CORRUPT_ARTIFACT") from error
    reporter.result(
        _text(reconstructed, exported, score, scene_path, picture),
        {
            "kind": "demo",
            "scene": str(scene_path),
            "exports": str(scene_path / "exports" / "default"),
            "picture": str(picture),
            "score": None if score is None else asdict(score),
            "reconstruction": asdict(reconstructed),
            "export": asdict(exported),
        },
    )


def find_sample(given: Path | None) -> Path:
    """Return the folder with the sample clip: the given one, or the repository's.

    The repository is looked for from the working directory upwards.

    Raises:
        NotFoundError: there is no clip.
    """
    here = Path.cwd()
    places = [given] if given else [folder / SAMPLE for folder in (here, *here.parents)]
    for place in places:
        if (place / CLIP).is_file():
            return place.resolve()
    raise NotFoundError(
        f"{places[0] / CLIP} does not exist; run this inside the repository, or pass --sample DIR",
        reason="NOT_FOUND",
    )


def _text(
    reconstructed: SceneResult,
    exported: ExportResult,
    score: Score | None,
    scene: Path,
    picture: Path,
) -> str:
    exports = scene / "exports" / "default"
    frames = f"{reconstructed.registered_frames} of {reconstructed.selected_frames}"
    lines = [f"frames    {frames} have a pose and depth"]
    if score is not None:
        cameras = f"{score.ate_percent:.2f} % of the path, {score.rotation_deg_median:.2f} degrees"
        within = (
            f"{100 * score.delta_103:.1f} % within 3 %, {100 * score.delta_105:.1f} % within 5 %"
        )
        lines += [
            "against the ground truth of the sample:",
            f"  cameras   off by {cameras}",
            f"  coverage  {100 * score.coverage:.1f} % of the known pixels have depth",
            f"  depth     off by {100 * score.abs_rel:.2f} % on average; {within}",
            f"  gross     {100 * score.gross:.2f} % are off by more than a quarter",
        ]
    lines += [
        f"{level.name:<8}  {level.points:>10,} points  {level.size_bytes / 1e6:8.2f} MB"
        for level in exported.levels
    ]
    lines += [
        "look at it:",
        f"  {picture}   image, depth and confidence, in any picture viewer",
        f"  {exports / 'scene_medium.glb'}   in a glTF viewer that knows KHR_meshopt_compression",
        f"  {exports / 'cloud.ply'}   in MeshLab, CloudCompare or Blender",
        f"  {exports / 'tileset.json'}   3D Tiles 1.1, to stream into a browser",
    ]
    return "\n".join(lines)
