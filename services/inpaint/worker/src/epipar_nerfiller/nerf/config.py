"""The method as nerfstudio finds it: ``ns-train epipar-nerfiller --data SCENE``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nerfstudio.configs.base_config import LocalWriterConfig, LoggingConfig, ViewerConfig
from nerfstudio.engine.optimizers import AdamOptimizerConfig
from nerfstudio.engine.schedulers import ExponentialDecaySchedulerConfig
from nerfstudio.plugins.types import MethodSpecification

from epipar_nerfiller.nerf.datamanager import NerfillerDataManagerConfig
from epipar_nerfiller.nerf.dataparser import EpiparDataParserConfig
from epipar_nerfiller.nerf.model import NerfillerModelConfig
from epipar_nerfiller.nerf.pipeline import NerfillerPipelineConfig
from epipar_nerfiller.nerf.trainer import NerfillerTrainerConfig
from epipar_nerfiller.settings import NerfillerSettings

METHOD = "epipar-nerfiller"
_RENDER_EPS = 1e-15


def trainer_config(settings: NerfillerSettings, seed: int = 0) -> NerfillerTrainerConfig:
    """Return a configuration without data."""
    return NerfillerTrainerConfig(
        method_name=METHOD,
        steps_per_save=settings.checkpoint_every,
        steps_per_eval_batch=0,
        steps_per_eval_image=0,
        steps_per_eval_all_images=0,
        max_num_iterations=settings.iterations,
        mixed_precision=settings.mixed_precision,
        pipeline=NerfillerPipelineConfig(
            datamanager=NerfillerDataManagerConfig(dataparser=EpiparDataParserConfig()),
            model=_model(settings),
            nerfiller=settings,
            seed=seed,
        ),
        optimizers={
            name: {
                "optimizer": AdamOptimizerConfig(lr=1e-2, eps=_RENDER_EPS),
                "scheduler": ExponentialDecaySchedulerConfig(
                    lr_final=1e-3, max_steps=settings.iterations
                ),
            }
            for name in ("proposal_networks", "fields")
        },
        viewer=ViewerConfig(num_rays_per_chunk=settings.rays_per_chunk),
        vis="viewer",
    )


def run_config(
    settings: NerfillerSettings,
    *,
    seed: int,
    scene: Path,
    masks: Path,
    work: Path,
    device: str,
    identity: str,
    depth_prior: Path | None,
) -> NerfillerTrainerConfig:
    """Return the configuration of a run without a viewer that resumes in its work folder."""
    config = trainer_config(settings, seed)
    config.data = scene
    config.output_dir, config.experiment_name, config.timestamp = work, "", "field"
    config.machine.device_type, config.machine.num_devices = device, 1  # type: ignore[assignment]
    config.vis = "tensorboard"
    config.logging = LoggingConfig(
        steps_per_log=100, local_writer=LocalWriterConfig(enable=False), profiler="none"
    )
    config.viewer.quit_on_train_completion = True
    config.identity, config.resume = identity, True
    data = config.pipeline.datamanager
    data.data, data.masks, data.depth_prior = scene, str(masks), depth_prior
    config.pipeline.model.implementation = "torch" if device == "cpu" else _implementation()
    return config


def _model(settings: NerfillerSettings) -> NerfillerModelConfig:
    config = NerfillerModelConfig(eval_num_rays_per_chunk=settings.rays_per_chunk)
    # Poses are those of the scene: the completion is given back in its world.
    config.camera_optimizer.mode = "off"
    if settings.field_size == "tiny":
        _shrink(config)
    return config


def _shrink(config: Any) -> None:
    """Make the field small enough for tests on one core."""
    config.implementation = "torch"
    config.num_levels, config.log2_hashmap_size, config.max_res = 6, 12, 256
    config.hidden_dim = config.hidden_dim_color = 16
    config.num_proposal_samples_per_ray, config.num_nerf_samples_per_ray = (48, 24), 16
    for network in config.proposal_net_args_list:
        network.update(log2_hashmap_size=11, num_levels=3, max_res=64)


def _implementation() -> Any:
    """Return tiny-cuda-nn where it is installed; it is about three times as fast."""
    try:
        import tinycudann  # noqa: F401 - only whether it is there
    except (ImportError, OSError):
        return "torch"
    return "tcnn"


epipar_nerfiller = MethodSpecification(
    config=trainer_config(NerfillerSettings()),
    description="Completes a scene of Epipar: joint multi-view inpainting with dataset updates.",
)
