"""Nerfstudio's loop, with checkpoints from which a run goes on exactly where it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfstudio.engine.trainer import Trainer, TrainerConfig

from epipar_nerfiller.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from epipar_nerfiller.failures import BadCheckpointError
from epipar_nerfiller.nerf.pipeline import NerfillerPipeline

Stepped = Callable[[int, dict[str, float]], None]
"""Told of iterations done and their losses."""


@dataclass
class NerfillerTrainerConfig(TrainerConfig):
    """Nerfstudio's, and where to go on from."""

    _target: type = field(default_factory=lambda: NerfillerTrainer)
    identity: str = "ns-train"
    """A checkpoint is taken up only by a run of the same identity."""
    resume: bool = False
    """Go on from the checkpoint in the run's own folder, where there is one."""


class NerfillerTrainer(Trainer):
    """Trainer that runs the iterations of pipeline.nerfiller, whatever max_num_iterations says.

    They count from the beginning, also after a resume.
    """

    config: NerfillerTrainerConfig
    pipeline: NerfillerPipeline

    def __init__(
        self, config: NerfillerTrainerConfig, local_rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(config, local_rank, world_size)
        self.next_step = 0
        self.on_step: Stepped | None = None
        self.on_checkpoint: Callable[[int], None] | None = None

    def train_iteration(self, step: int) -> Any:
        """See Trainer."""
        loss, losses, metrics = super().train_iteration(step)
        self.next_step = step + 1
        if self.on_step is not None:
            self.on_step(step + 1, {**_numbers(losses), "psnr": float(metrics["psnr"])})
        return loss, losses, metrics

    def save_checkpoint(self, step: int) -> None:
        """Write where the run stands; see checkpoints.py. The step named is not what counts."""
        sampler = self.pipeline.model.proposal_sampler
        state = {
            "pipeline": self.pipeline.state_dict(),
            "optimizers": {k: v.state_dict() for k, v in self.optimizers.optimizers.items()},
            "schedulers": {k: v.state_dict() for k, v in self.optimizers.schedulers.items()},
            "scalers": self.grad_scaler.state_dict(),
            "views": self.pipeline.datamanager.bank.state(),
            # Nerfstudio forgets these two, and a resumed run trained other proposals.
            "proposals": [sampler._steps_since_update, sampler._step],  # noqa: SLF001
        }
        checkpoint = Checkpoint(self.next_step, state)
        write_checkpoint(self.base_dir, self.config.identity, checkpoint)
        if not self.config.resume:
            super().save_checkpoint(step)  # for ns-render, ns-viewer, ns-export
        if self.on_checkpoint is not None:
            self.on_checkpoint(self.next_step)

    def _load_checkpoint(self) -> None:
        folder: Path | None = self.config.load_dir
        if folder is None and self.config.resume:
            folder = self.base_dir
        checkpoint = read_checkpoint(folder, self.config.identity) if folder else None
        if folder is not None and self.config.load_dir is not None and checkpoint is None:
            raise BadCheckpointError(f"there is no checkpoint in {folder}")
        if checkpoint is not None:
            self._restore(checkpoint)
        self._start_step = self.next_step
        iterations = self.config.pipeline.nerfiller.iterations
        self.config.max_num_iterations = max(0, iterations - self.next_step)

    def _restore(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.state
        try:
            self.pipeline.load_state_dict(state["pipeline"])
            self.optimizers.load_optimizers(state["optimizers"])
            self.optimizers.load_schedulers(state["schedulers"])
            self.grad_scaler.load_state_dict(state["scalers"])
            sampler = self.pipeline.model.proposal_sampler
            sampler._steps_since_update, sampler._step = state["proposals"]  # noqa: SLF001
        except (KeyError, RuntimeError, ValueError) as error:
            raise BadCheckpointError(f"the checkpoint does not fit this field: {error}") from error
        self.pipeline.datamanager.bank.restore(state["views"])
        self.next_step = checkpoint.next_step


def _numbers(losses: dict[str, Any]) -> dict[str, float]:
    return {name: float(loss.detach()) for name, loss in losses.items()}
