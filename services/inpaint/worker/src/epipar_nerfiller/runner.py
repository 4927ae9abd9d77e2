"""One run: fit, fill, render, write; from its checkpoint where there is one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from epipar_nerfiller import __version__
from epipar_nerfiller.completion import CompletionWriter, Filling, Written
from epipar_nerfiller.consistency import psnr
from epipar_nerfiller.control import Control
from epipar_nerfiller.events import Events
from epipar_nerfiller.failures import BadInputError, OutOfMemoryError, StoppedError
from epipar_nerfiller.holes import check_polarity, open_scene
from epipar_nerfiller.job import Job
from epipar_nerfiller.nerf.config import run_config
from epipar_nerfiller.nerf.trainer import NerfillerTrainer
from epipar_nerfiller.nerf.updates import Update
from epipar_nerfiller.settings import NerfillerSettings
from epipar_scene.atomic import atomic_file
from epipar_scene.folder import SceneFolder

FIT, FILL, RENDER, WRITE = "fit", "fill", "render", "write"
_PREVIEW_VIEWS, _PREVIEW_HEIGHT = 4, 240
_TRUTH_PIXELS = 20_000


class Runner:
    """Carries out one job.

    Args:
        job: what to do.
        events: whom to tell.
        control: whom to ask whether to go on.
        device: "cuda", "cpu", or "auto" for the first that is there.
    """

    def __init__(self, job: Job, events: Events, control: Control, device: str = "auto") -> None:
        self._job = job
        self._events = events
        self._control = control
        self._device = _device(device)
        if self._device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)  # on busy cores threads wait for each other, many times over
        self._seconds: dict[str, float] = {}

    def run(self) -> None:
        """Do it all; the last event is the result.

        Raises:
            WorkerError: see failures.py; after a stop the checkpoint is there.
        """
        job = self._job
        if (job.output / "scene.json").exists():
            raise BadInputError("output", f"{job.output} holds a finished scene already")
        scene = open_scene(job.scene)
        holes = check_polarity(scene, job.masks, job.settings.max_hole_share)
        metrics: dict[str, float] = {}
        resumed, held_out = 0, [False] * len(scene.frames)
        if any(holes):
            trainer = self._trained()
            held_out = trainer.pipeline.datamanager.bank.held_out.tolist()
            with self._timed(RENDER):
                fillings, resumed = self._fillings(trainer, scene)
                metrics = self._truth_metrics(trainer)
        else:
            self._events.send("warning", message="the masks have no hole: nothing is missing")
            fillings = [Filling.empty()] * len(scene.frames)
        with self._timed(WRITE):
            written, writer = self._written(scene, fillings, held_out)
        metrics.update(
            cross_view_agreement=written.agreement,
            witnessed_share=written.witnessed,
            peak_gpu_mb=_peak_gpu_mb(),
            held_out_agreement=written.held_out_agreement,
        )
        writer.finish(self._seconds, metrics)
        self._events.send(
            "result",
            filled=dict(written.filled),
            stage_seconds={name: round(s, 3) for name, s in self._seconds.items()},
            metrics={name: value for name, value in metrics.items() if np.isfinite(value)},
            resumed_views=resumed,
        )

    def _trained(self) -> NerfillerTrainer:
        """Train; with smaller batches, once, where the device's memory does not do."""
        try:
            return self._train(self._job.settings)
        except torch.OutOfMemoryError as error:
            message = f"the device is out of memory; going on with smaller batches: {error}"
            self._events.send("warning", message=message[:500])
        torch.cuda.empty_cache()
        try:
            return self._train(smaller(self._job.settings))
        except torch.OutOfMemoryError as error:
            raise OutOfMemoryError(
                "also a quarter of the rays and one picture at a time do not fit into the "
                f"device's memory: {error}"
            ) from error

    def _train(self, settings: NerfillerSettings) -> NerfillerTrainer:
        job = self._job
        config = run_config(
            settings,
            seed=job.seed,
            scene=job.scene,
            masks=job.masks,
            work=job.work,
            device=self._device,
            identity=job.identity,
            depth_prior=job.depth_prior,
        )
        self._control.tick()
        trainer: NerfillerTrainer = config.setup(local_rank=0, world_size=1)
        trainer.setup()
        self._control.tick()
        self._listen(trainer, settings)
        self._events.send(
            "started",
            version=__version__,
            device=self._device,
            iterations=settings.iterations,
            updates=settings.updates,
            views=len(trainer.pipeline.datamanager.bank),
            resumed_step=trainer.next_step,
        )
        if trainer.next_step >= settings.iterations:
            return trainer
        try:
            trainer.train()
        except (StoppedError, torch.OutOfMemoryError):
            trainer.save_checkpoint(trainer.next_step)
            raise
        return trainer

    def _listen(self, trainer: NerfillerTrainer, settings: NerfillerSettings) -> None:
        hooks, fit = trainer.pipeline.hooks, settings.first_fit_iterations
        last_s = time.monotonic()

        def stepped(done: int, losses: dict[str, float]) -> None:
            nonlocal last_s
            stage, now_s = FIT if done <= fit else FILL, time.monotonic()
            self._seconds[stage] = self._seconds.get(stage, 0.0) + now_s - last_s
            last_s = now_s
            if stage == FIT:
                self._events.progress(FIT, done, fit, "iterations", losses=losses)
            else:
                total = settings.nerfiller_iterations
                self._events.progress(FILL, done - fit, total, "iterations", losses=losses)

        def painting(update: Update, done: int, total: int) -> None:
            at = update.number * settings.dataset_update
            message = f"update {update.number + 1} of {settings.updates}: step {done} of {total}"
            self._events.progress(FILL, at, settings.nerfiller_iterations, "iterations", message)

        def painted(update: Update) -> None:
            path = self._preview(trainer, update)
            self._events.send("preview", path=str(path), update=update.number)

        hooks.tick = self._control.tick
        hooks.painting, hooks.painted = painting, painted
        trainer.on_step = stepped
        trainer.on_checkpoint = lambda step: self._events.send("checkpoint", step=step)

    def _preview(self, trainer: NerfillerTrainer, update: Update) -> Path:
        """Write some of the freshly painted views side by side into the output folder."""
        bank = trainer.pipeline.datamanager.bank
        shown = []
        for view in update.views[:_PREVIEW_VIEWS].tolist():
            array = bank.picture(view).permute(1, 2, 0).mul(255).byte().numpy()
            picture = Image.fromarray(np.ascontiguousarray(array))
            width = max(1, round(picture.width * _PREVIEW_HEIGHT / picture.height))
            shown.append(picture.resize((width, _PREVIEW_HEIGHT)))
        sheet = Image.new("RGB", (sum(p.width for p in shown), _PREVIEW_HEIGHT))
        left = 0
        for picture in shown:
            sheet.paste(picture, (left, 0))
            left += picture.width
        path = self._job.output / "previews" / f"update_{update.number + 1:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as stream:
            sheet.save(stream, "JPEG", quality=85)
        return path

    def _fillings(self, trainer: NerfillerTrainer, scene: SceneFolder) -> tuple[list[Filling], int]:
        """Render the holes of all views; those rendered by an earlier run are taken over."""
        pipeline = trainer.pipeline
        bank = pipeline.datamanager.bank
        scale = pipeline.datamanager.train_dataparser_outputs.dataparser_scale
        fillings, resumed = [], 0
        for view, frame in enumerate(scene.frames):
            path = self._job.work / "renders" / f"{self._job.identity[:16]}-{frame.name}.npz"
            if path.exists():
                resumed += 1
                fillings.append(Filling.load(path))
            else:
                rendered = pipeline.render(bank.missing(view))
                filling = Filling(
                    rendered.rgb.mul(255).round().byte().numpy(),
                    (rendered.depth / scale).numpy(),
                    rendered.accumulation.numpy(),
                )
                filling.save(path)
                fillings.append(filling)
            self._events.progress(RENDER, view + 1, len(scene.frames), "views")
        return fillings, resumed

    def _truth_metrics(self, trainer: NerfillerTrainer) -> dict[str, float]:
        """Return the PSNR on known pixels, of teaching views and of held-out ones."""
        bank = trainer.pipeline.datamanager.bank
        view = torch.repeat_interleave(torch.arange(len(bank)), bank.starts.diff())
        result = {}
        for name, which in (("known_psnr", ~bank.held_out), ("held_out_psnr", bank.held_out)):
            pixels = (which[view] & ~bank.color_hole).nonzero()[:, 0]
            if len(pixels):
                pixels = pixels[:: max(1, len(pixels) // _TRUTH_PIXELS)]
                shown = trainer.pipeline.render(pixels).rgb.numpy().astype(np.float64)
                truth = bank.rgb[pixels].numpy().astype(np.float64) / 255
                result[name] = psnr(shown, truth)
        return result

    def _written(
        self, scene: SceneFolder, fillings: list[Filling], held_out: list[bool]
    ) -> tuple[Written, CompletionWriter]:
        writer = CompletionWriter(self._job, scene, fillings)
        done = 0

        def tick() -> None:
            nonlocal done
            self._control.tick()
            self._events.progress(WRITE, done, len(scene.frames), "views")
            done += 1

        written = writer.write(held_out, tick)
        self._events.progress(WRITE, done, len(scene.frames), "views")
        return written, writer

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start_s = time.monotonic()
        try:
            yield
        finally:
            elapsed_s = time.monotonic() - start_s
            self._seconds[stage] = self._seconds.get(stage, 0.0) + elapsed_s


def smaller(settings: NerfillerSettings) -> NerfillerSettings:
    """Return the settings that need the least memory for the same result, or nearly."""
    return replace(
        settings,
        micro_batch=1,
        rays_per_batch=max(16, settings.rays_per_batch // 4),
        rays_per_chunk=max(64, settings.rays_per_chunk // 8),
    )


def _peak_gpu_mb() -> float:
    """Return the most that tensors took on the GPU; NaN without one."""
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else float("nan")


def _device(name: str) -> Any:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cuda", "cpu"):
        raise BadInputError("device", f"device is {name!r}; it must be auto, cuda or cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInputError("device", "device is cuda, but torch sees no GPU")
    return name
