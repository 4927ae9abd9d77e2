"""The published model code, built without what is not used, and loaded strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from depth_anything_3.cfg import create_object, load_config
from depth_anything_3.registry import MODEL_REGISTRY
from safetensors import SafetensorError
from safetensors.torch import load_file

from epipar_depth.da3.registry import ModelSpec
from epipar_kit.errors import CorruptArtifactError

_UNUSED = ("gs_head.", "gs_adapter.")  # Gaussian splats: heads that are not built


class Model(torch.nn.Module):  # type: ignore[misc,unused-ignore] # torch may be absent
    """Named as the published weights name it: every tensor begins with "model."."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *arguments: Any, **options: Any) -> Any:
        """Run the model."""
        return self.model(*arguments, **options)


def build_model(spec: ModelSpec) -> Model:
    """Build a model with random weights, without the heads for Gaussian splats."""
    path = MODEL_REGISTRY.get(spec.architecture, spec.architecture)
    config = load_config(str(path))
    for part in (config, config.get("anyview") or {}):
        for unused in _UNUSED:
            part.pop(unused.rstrip("."), None)
    return Model(create_object(config))


def load_strictly(spec: ModelSpec, model: torch.nn.Module, path: Path) -> None:
    """Load weights; every tensor of the model must be there, in its shape, and no other.

    Raises:
        CorruptArtifactError: CORRUPT_ARTIFACT, the file is damaged or of another model.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _wrong(spec, path, f"it cannot be read: {error}") from None
    tensors = {
        name: tensor
        for name, tensor in tensors.items()
        if not any(f".{unused}" in f".{name}" for unused in _UNUSED)
    }
    try:
        result = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:  # a tensor has another shape
        raise _wrong(spec, path, str(error).splitlines()[-1].strip()) from None
    shared = _shared_names(model, set(tensors))
    missing = [name for name in result.missing_keys if name not in shared]
    if missing or result.unexpected_keys:
        examples = ", ".join([*missing[:2], *result.unexpected_keys[:2]])
        raise _wrong(
            spec,
            path,
            f"{len(missing)} tensors are missing and {len(result.unexpected_keys)} are not the "
            f"model's ({examples})",
        )


def _shared_names(model: torch.nn.Module, loaded: set[str]) -> set[str]:
    """Return names of tensors that are the same memory as one that was loaded."""
    states = model.state_dict()
    places = {states[name].data_ptr() for name in loaded if name in states}
    return {name for name, tensor in states.items() if tensor.data_ptr() in places}


def _wrong(spec: ModelSpec, path: Path, why: str) -> CorruptArtifactError:
    return CorruptArtifactError(
        "CORRUPT_ARTIFACT", f"{path} does not hold {spec.name!r}: {why[:300]}", model=spec.name
    )
