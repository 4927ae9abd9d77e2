"""The engine "nerfiller-upstream": the published NeRFiller, where an operator has installed it.

Three programs of its environment, one after the other: ``ns-train nerfacto-nerfiller``, then
``ns-train grid-prior-du --load-dir ...`` (or individual-inpaint-du), then ``ns-render dataset``.
A program that was begun is begun again by a repeat; one that ended is not.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from epipar_inpaint.engine import Capabilities, CompletionRequest, CompletionResult, Preview
from epipar_inpaint.masks.mask_set import MaskSet
from epipar_inpaint.nerfiller.environment import UPSTREAM_PYTHON, interpreter
from epipar_inpaint.nerfiller.event_files import last_step
from epipar_inpaint.nerfiller.subprocesses import running
from epipar_inpaint.nerfiller.upstream_data import write_dataset, write_view
from epipar_inpaint.scenes import corrupt_artifacts, open_scene
from epipar_kit.errors import EngineUnavailableError, InvalidInputError, WorkerDiedError
from epipar_kit.events import Report
from epipar_scene.folder import SceneFolder
from epipar_scene.frames import Frame
from epipar_scene.scene_info import SceneEngine
from epipar_scene.writer import SceneWriter

NAME = "nerfiller-upstream"
VERSION = "fad4ac1"
"""Commit of github.com/ethanweber/nerfiller whose command line this speaks."""

FIRST, SECOND, RENDER = "first_fit", "grid_prior", "render"
WORK = ".nerfiller-upstream"

_METHODS = {"joint-multiview": "grid-prior-du", "individual": "individual-inpaint-du"}
_OPTIONS = ("nerfiller_iterations", "inpaint_method", "dataset_update", "views_per_update")
_ITERATIONS = 30_000
_LOOK_PERIOD_S = 2.0
_MODEL_HINT = (
    "; its model stabilityai/stable-diffusion-2-inpainting is no longer on the hub: it must be in "
    "the environment's cache"
)


@dataclass(frozen=True, slots=True)
class UpstreamOptions:
    """What of the request the published method understands."""

    iterations: int = _ITERATIONS
    method: str = _METHODS["joint-multiview"]
    edit_rate: int = 1000
    edit_num: int = 40

    @classmethod
    def from_extra(cls, extra: dict[str, Any]) -> UpstreamOptions:
        """Read options.extra.

        Raises:
            InvalidInputError: BAD_OPTION, a setting that it does not have.
        """
        for name in extra:
            if name not in _OPTIONS:
                raise InvalidInputError(
                    "BAD_OPTION",
                    f"options.nerfiller.{name}",
                    f"{NAME} has no setting {name!r}; it has {', '.join(_OPTIONS)}",
                )
        return cls(
            int(extra.get("nerfiller_iterations", _ITERATIONS)),
            _METHODS[extra.get("inpaint_method", "joint-multiview")],
            int(extra.get("dataset_update", 1000)),
            int(extra.get("views_per_update", 40)),
        )


class UpstreamEngine:
    """Drives the published method.

    Raises:
        EngineUnavailableError: ENGINE_UNAVAILABLE, its environment is not set up.
    """

    def __init__(self) -> None:
        self._bin = interpreter(UPSTREAM_PYTHON, "an environment with NeRFiller in it").parent
        for name in ("ns-train", "ns-render"):
            if not (self._bin / name).is_file():
                raise EngineUnavailableError(
                    "ENGINE_UNAVAILABLE",
                    f"{UPSTREAM_PYTHON} names an environment without {name}; install nerfstudio "
                    "and NeRFiller in it",
                    retry_after_s=None,
                )

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; see engine.CompletionEngine."""
        return Capabilities(
            version=VERSION,
            description="NeRFiller as published, in an environment that the operator provides.",
            licence="Apache-2.0",
            needs_gpu=True,
            painters=(),  # it paints by its own model
        )

    def complete(
        self, request: CompletionRequest, report: Report, preview: Preview
    ) -> CompletionResult:
        """Fill request.output with a completed scene; see engine.CompletionEngine.

        Raises:
            InvalidInputError: BAD_OPTION.
            CallEndedError: CANCELLED.
            WorkerDiedError: WORKER_DIED, one of its programs failed.
        """
        options = UpstreamOptions.from_extra(dict(request.options.extra))
        return _Run(self._bin, request, options, report).run()


class _Run:
    """One request on its way."""

    def __init__(
        self, programs: Path, request: CompletionRequest, options: UpstreamOptions, report: Report
    ) -> None:
        self._programs = programs
        self._request = request
        self._options = options
        self._report = report
        self._work = request.output / WORK
        self._seconds: dict[str, float] = {}

    def run(self) -> CompletionResult:
        """Go through all stages."""
        request, options = self._request, self._options
        scene = open_scene(request.scene)
        (request.output / "scene.json").unlink(missing_ok=True)
        with corrupt_artifacts():
            masks = MaskSet.open(request.masks)
            write_dataset(scene, masks, self._work / "data")
        self._train(FIRST, "nerfacto-nerfiller", _ITERATIONS, [])
        first = self._folder("nerfacto-nerfiller", FIRST) / "nerfstudio_models"
        update = [
            *("--load-dir", str(first), "--pipeline.edit-rate", str(options.edit_rate)),
            *("--pipeline.edit-num", str(options.edit_num)),
            # Strength falls from 1.0 to 0.4 over so many iterations of this stage.
            *("--pipeline.edit-iters", str(options.iterations)),
            *("--pipeline.rgb-inpaint-device", "cuda:0"),
        ]
        self._train(SECOND, options.method, options.iterations, update)
        renders = self._work / "renders"
        config = self._folder(options.method, SECOND) / "config.yml"
        self._program(
            RENDER,
            [
                *("ns-render", "dataset", "--load-config", str(config)),
                *("--output-path", str(renders), "--split", "train", "--image-format", "png"),
                *("--rendered-output-names", "rgb", "raw-depth"),
            ],
            lambda: (len(list(renders.glob("train/rgb/*"))), len(scene.frames), "views"),
        )
        counts = self._write(scene, masks, renders / "train")
        shutil.rmtree(self._work)
        return CompletionResult(counts, self._seconds)

    def _train(self, stage: str, method: str, iterations: int, more: Sequence[str]) -> None:
        folder = self._folder(method, stage)
        # The second stage counts on from the first one's steps.
        start = _ITERATIONS if stage == SECOND else 0
        self._program(
            stage,
            [
                *("ns-train", method, "--data", str(self._work / "data")),
                *("--output-dir", str(self._work / "runs"), "--experiment-name", "scene"),
                *("--timestamp", stage, "--vis", "tensorboard"),
                *("--max-num-iterations", str(iterations)),
                *("--machine.seed", str(self._request.options.seed)),
                *("--pipeline.model.camera-optimizer.mode", "off", *more),
                *("nerfstudio-data", "--eval-mode", "all", "--depth-unit-scale-factor", "1.0"),
            ],
            lambda: (max(0, min(last_step(folder) - start, iterations)), iterations, "iterations"),
        )

    def _folder(self, method: str, stage: str) -> Path:
        return self._work / "runs" / "scene" / method / stage

    def _program(self, stage: str, command: list[str], progress: Any) -> None:
        """Run one program to its end, if an earlier run did not."""
        done = self._work / f"{stage}.done"
        if done.exists():
            return
        start_s, next_s = time.monotonic(), 0.0
        self._report(stage, 0, 0, "steps", f"starting {command[1]}")
        with running([str(self._programs / command[0]), *command[1:]]) as program:
            for line in program.lines():
                sys.stderr.buffer.write(line)
                if (now_s := time.monotonic()) >= next_s:
                    next_s = now_s + _LOOK_PERIOD_S
                    self._report(stage, *progress())
            program.raise_if_stopping()
            code = program.exit_code
        if code != 0:
            raise WorkerDiedError(
                f"{' '.join(command[:2])} ended with exit code {code}; the server's log has its "
                f"output{_MODEL_HINT if stage == SECOND else ''}",
                exit_code=code,
            )
        self._report(stage, *progress())
        self._seconds[stage] = time.monotonic() - start_s
        done.touch()

    def _write(self, scene: SceneFolder, masks: MaskSet, renders: Path) -> dict[str, int]:
        start_s = time.monotonic()
        writer = SceneWriter(self._request.output)
        diffusion = free = 0
        for number, frame in enumerate(scene.frames):
            painted, continued = write_view(writer, scene, masks, frame, renders)
            diffusion, free = diffusion + painted, free + continued
            self._report("write", number + 1, len(scene.frames), "views")
        self._seconds["write"] = time.monotonic() - start_s
        info = replace(
            scene.info,
            content_hash=self._request.content_hash,
            engine=SceneEngine(NAME, VERSION),
            options={"intent": self._request.intent, "seed": self._request.options.seed},
            timings=self._seconds,
            metrics={},
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        frames = [
            Frame(f.name, f.intrinsics, f.cam_to_world, f.source_frame, ".png")
            for f in scene.frames
        ]
        writer.finish(info, frames)
        return {"diffusion": diffusion, "free": free}
