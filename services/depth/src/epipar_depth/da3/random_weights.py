"""Weights of the right shapes that know nothing: ``python -m epipar_depth.da3.random_weights``.

For tests, benchmarks of speed and memory, and trying out an installation without a download. What
a model says with them is noise; only its cameras are given a sane field of view.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_model

from epipar_depth.da3.loading import build_model
from epipar_depth.da3.registry import ModelSpec, find_model, load_registry
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.da3.weights import CONFIG_NAME, WEIGHTS_NAME, pin_weights

FIELD_OF_VIEW_RAD = 1.0
_KEPT = 0.01


def write_random_weights(spec: ModelSpec, folder: Path, seed: int) -> None:
    """Write config.json and model.safetensors as the hub has them, with random numbers."""
    torch.manual_seed(seed)
    model = build_model(spec)
    states = model.state_dict()
    with torch.no_grad():
        for name, tensor in states.items():
            if ".fc_fov.0." in name or ".fc_t." in name:
                tensor.mul_(_KEPT)
            if ".fc_fov.0.bias" in name:
                tensor.fill_(FIELD_OF_VIEW_RAD)
            if ".fc_qvec.bias" in name:
                tensor.copy_(torch.tensor([0.0, 0, 0, 2]))  # about straight ahead
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, str(folder / WEIGHTS_NAME))
    name = Path(spec.architecture).stem
    (folder / CONFIG_NAME).write_text(json.dumps({"model_name": name}))


def main() -> int:
    """Write random weights of one model into the models folder and pin them."""
    parser = argparse.ArgumentParser(prog="epipar_depth.da3.random_weights", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    settings = Da3Settings.from_environment()
    spec = find_model(load_registry(settings.models_file), arguments.model)
    folder = settings.models_dir / spec.name
    write_random_weights(spec, folder, arguments.seed)
    pin = pin_weights(spec, settings, folder)
    facts = {"model": spec.name, "folder": str(folder), "sha256": pin.sha256}
    sys.stdout.write(json.dumps(facts) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
