"""The nerfiller worker at its smallest: a scene of four views, seconds of training on a CPU."""

from __future__ import annotations

SCENE = "scenes/room"
FIT, CHECKPOINT_EVERY = 40, 10
TINY = {
    "first_fit_iterations": FIT,
    "nerfiller_iterations": 20,
    "dataset_update": 10,
    "views_per_update": 4,
    "rays_per_batch": 128,
    "diffusion_steps": 2,
    "tile_px": 32,
    "perceptual": "structure",
    "patch_px": 4,
    "field_size": "tiny",
    "checkpoint_every": CHECKPOINT_EVERY,
    "offline": True,
}
"""Settings of a run, but for the model."""
