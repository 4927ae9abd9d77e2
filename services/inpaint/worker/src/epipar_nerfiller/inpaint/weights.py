"""Models by name or folder: this machine first, pinned, hashed, safetensors only."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from epipar_nerfiller.failures import BadInputError, MissingWeightsError

_COMMIT = re.compile(r"[0-9a-f]{40}")
_FILES = ("*.json", "*.txt", "*.safetensors")
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
_UNUSED_PARTS = ("safety_checker", "feature_extractor")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model.

    Attributes:
        model_id: a local folder in diffusers' layout, or a repository "owner/name".
        revision: commit of the repository, 40 hex digits; needed for a repository.
        sha256: of the model's files as model_hash gives it; "" accepts what is there.
        offline: never ask the hub.
    """

    model_id: str
    revision: str = ""
    sha256: str = ""
    offline: bool = False


def load_pipeline(choice: ModelChoice, device: str, dtype: torch.dtype) -> Any:
    """Load a diffusers inpainting pipeline.

    Raises:
        BadInputError: a repository without a pinned revision.
        MissingWeightsError: the files are not here, are not safetensors, or are others.
    """
    folder = locate(choice)
    check_files(folder, choice)
    from diffusers import StableDiffusionInpaintPipeline

    try:
        pipeline = StableDiffusionInpaintPipeline.from_pretrained(
            str(folder),
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    except (OSError, ValueError, KeyError) as error:
        raise MissingWeightsError(
            f"{folder} cannot be read as a Stable Diffusion inpainting model: {error}"
        ) from error
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        part.requires_grad_(False)
        part.eval()
    return pipeline.to(device)


def locate(choice: ModelChoice) -> Path:
    """Return the model's folder: a local one, the hub's cache, or a download into that cache."""
    if not choice.model_id:
        raise MissingWeightsError(
            "no inpainting model is chosen; " + _how_to_stage("OWNER/NAME", "COMMIT")
        )
    local = Path(choice.model_id).expanduser()
    if local.is_dir():
        return local
    if local.is_absolute() or choice.model_id.count("/") != 1:
        raise MissingWeightsError(
            f"there is no folder {choice.model_id}; "
            + _how_to_stage("OWNER/NAME", choice.revision or "COMMIT")
        )
    if not _COMMIT.fullmatch(choice.revision):
        raise BadInputError(
            "model_revision",
            f"model_revision is {choice.revision!r}; for {choice.model_id} it must be a commit of "
            "40 hex digits, so that every run uses the same weights",
        )
    return _from_hub(choice)


def check_files(folder: Path, choice: ModelChoice) -> None:
    """Refuse a model without safetensors, or another one than was pinned."""
    if not (folder / "model_index.json").is_file():
        raise MissingWeightsError(
            f"{folder} has no model_index.json; it must be a diffusers pipeline's folder"
        )
    for part in ("unet", "vae", "text_encoder"):
        if not any((folder / part).glob("*.safetensors")):
            pickled = [p.name for p in folder.glob(f"{part}/*") if p.suffix in _PICKLES]
            why = f" (only {', '.join(pickled)}, which could run code)" if pickled else ""
            raise MissingWeightsError(f"{folder}/{part} has no .safetensors weights{why}")
    if choice.sha256:
        seen = model_hash(folder)
        if seen != choice.sha256.lower():
            raise MissingWeightsError(
                f"the model in {folder} has sha256 {seen}; it must be {choice.sha256}"
            )


def model_hash(folder: Path) -> str:
    """Return one sha256 of all files that load_pipeline can read, names included."""
    digest = hashlib.sha256()
    paths = {path for pattern in _FILES for path in folder.rglob(pattern) if path.is_file()}
    for path in sorted(paths, key=lambda p: p.relative_to(folder).as_posix()):
        relative = path.relative_to(folder)
        if relative.parts[0] in _UNUSED_PARTS or any(p.startswith(".") for p in relative.parts):
            continue
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{relative.as_posix()}\0{content}\n".encode())
    return digest.hexdigest()


def _from_hub(choice: ModelChoice) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(_snapshot(snapshot_download, choice, local_files_only=True))
    except OSError:
        if choice.offline:
            raise MissingWeightsError(
                f"{choice.model_id} at {choice.revision} is not on this machine and offline is "
                "set; " + _how_to_stage(choice.model_id, choice.revision)
            ) from None
    try:
        return Path(_snapshot(snapshot_download, choice, local_files_only=False))
    except Exception as error:  # the hub client raises many kinds, all mean this
        raise MissingWeightsError(
            f"{choice.model_id} at {choice.revision} is not on this machine and cannot be "
            f"downloaded ({type(error).__name__}); "
            + _how_to_stage(choice.model_id, choice.revision)
        ) from error


def _snapshot(download: Any, choice: ModelChoice, *, local_files_only: bool) -> str:
    path: str = download(
        choice.model_id,
        revision=choice.revision,
        allow_patterns=list(_FILES),
        ignore_patterns=[f"{part}/*" for part in _UNUSED_PARTS],
        local_files_only=local_files_only,
    )
    return path


def _how_to_stage(model_id: str, revision: str) -> str:
    return (
        "stage it where there is a network with `hf download "
        f"{model_id} --revision {revision} --include '*.safetensors' '*.json' '*.txt' --local-dir "
        "FOLDER`, copy FOLDER here and pass it as model_id"
    )
