"""The engine "nerfiller": our worker, in an environment of its own with torch and nerfstudio."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from epipar_inpaint.engine import Capabilities, CompletionRequest, CompletionResult, Preview
from epipar_inpaint.nerfiller.environment import WorkerDefaults
from epipar_inpaint.nerfiller.events import EventReader
from epipar_inpaint.nerfiller.prior import DEPTH_PRIORS, STAGE, Prior, make_prior
from epipar_inpaint.nerfiller.runner import WorkerRun, make_runner
from epipar_inpaint.nerfiller.stopping import asked_by_sigterm
from epipar_kit.errors import WorkerDiedError
from epipar_kit.events import Report

NAME = "nerfiller"
VERSION = "0.2.0"
WORK = ".nerfiller"
"""Folder of checkpoints inside the output; gone when the completion is finished."""


class NerfillerEngine:
    """Runs one job of the worker; see services/inpaint/worker.

    Raises:
        EngineUnavailableError: ENGINE_UNAVAILABLE, the worker's environment is not set up.
    """

    def __init__(self) -> None:
        self._defaults = WorkerDefaults.from_variables()
        self._runner = make_runner()

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; see engine.CompletionEngine."""
        return Capabilities(
            version=f"{VERSION}+{self._defaults.digest}",
            description="NeRFiller: a diffusion model paints many views jointly, a radiance field "
            "makes them one scene.",
            licence="Apache-2.0",
            needs_gpu=True,
            painters=(),  # it paints by its own model
            cancel_grace_s=4.5,  # a checkpoint
        )

    def complete(
        self, request: CompletionRequest, report: Report, preview: Preview
    ) -> CompletionResult:
        """Fill request.output with a completed scene; see engine.CompletionEngine.

        Settings come from options.extra, by the worker's names, and "depth_prior", which is ours
        (prior.py); the painter's name has no meaning here. After a cancel the checkpoint stays in
        the output folder.

        Raises:
            InvalidInputError: BAD_OPTION, a setting is refused.
            NotReadyError: WEIGHTS_MISSING, with how to stage them.
            LimitExceededError: OUT_OF_MEMORY.
            CorruptArtifactError: CORRUPT_ARTIFACT, the scene, the masks or the checkpoint.
            CallEndedError: CANCELLED.
            WorkerDiedError: WORKER_DIED, the worker crashed or stalled.
        """
        work = request.output / WORK
        # A run that ended between its last file and our clearing up writes that file again.
        (request.output / "scene.json").unlink(missing_ok=True)
        settings = {**self._defaults.settings, **request.options.extra}
        named = settings.pop("depth_prior", DEPTH_PRIORS[0])
        prior = make_prior(named, request, work, report)
        reader = EventReader(report, preview)
        with asked_by_sigterm() as stop:
            exit_code = self._runner.run(_run(request, work, settings, prior), reader.read, stop)
        if reader.error is not None:
            raise reader.error
        if reader.result is None or exit_code != 0:
            raise WorkerDiedError(
                f"the nerfiller worker ended with exit code {exit_code} and no result; the "
                "server's log has its output",
                exit_code=exit_code,
            )
        shutil.rmtree(work)
        shutil.rmtree(request.output / "previews", ignore_errors=True)
        first = {} if prior.folder is None else {STAGE: round(prior.seconds, 3)}
        seconds = {**first, **reader.result.stage_seconds}
        return replace(reader.result, stage_seconds=seconds)


def _run(
    request: CompletionRequest, work: Path, settings: dict[str, Any], prior: Prior
) -> WorkerRun:
    job = {
        "schema_version": 1,
        "content_hash": request.content_hash,
        "intent": request.intent,
        "seed": request.options.seed,
        "settings": {**settings, **prior.settings},
    }
    return WorkerRun(request.scene, request.masks, request.output, work, prior.folder, job)
