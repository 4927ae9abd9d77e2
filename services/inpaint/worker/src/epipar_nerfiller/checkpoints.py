"""Checkpoints: one file, whole or not there, that says whose it is and whether it is intact.

The file is a line of JSON (identity of the job, step, sha256 of the rest), then torch's archive of
tensors and plain values. Reading it runs no code.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from epipar_nerfiller.failures import BadCheckpointError
from epipar_scene.atomic import atomic_file

FILE_NAME = "checkpoint.pt"
_FORMAT = "epipar-nerfiller-1"
_MAX_HEADER_BYTES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Where a run stands.

    Attributes:
        next_step: the first iteration that is not done.
        state: tensors and plain values.
    """

    next_step: int
    state: dict[str, Any]


def write_checkpoint(folder: Path, identity: str, checkpoint: Checkpoint) -> None:
    """Write the folder's checkpoint; the one before is there until the new one is whole."""
    buffer = io.BytesIO()
    torch.save(plain(checkpoint.state), buffer)
    body = buffer.getbuffer()
    header = {
        "format": _FORMAT,
        "identity": identity,
        "next_step": checkpoint.next_step,
        "sha256": sha256(body).hexdigest(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / FILE_NAME, durable=True) as stream:
        stream.write(json.dumps(header).encode() + b"\n")
        stream.write(body)


def read_checkpoint(folder: Path, identity: str) -> Checkpoint | None:
    """Read the folder's checkpoint; None where there is none.

    Raises:
        BadCheckpointError: it is damaged, or was made by another job.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    with path.open("rb") as stream:
        line = stream.readline(_MAX_HEADER_BYTES)
        body = stream.read()
    remedy = f"remove {path} to begin again"
    try:
        header = json.loads(line)
        intact = header["format"] == _FORMAT and header["sha256"] == sha256(body).hexdigest()
        owner, next_step = str(header["identity"]), int(header["next_step"])
    except (ValueError, KeyError, TypeError):
        intact, owner, next_step = False, "", 0
    if not intact:
        raise BadCheckpointError(f"the checkpoint is damaged; {remedy}")
    if owner != identity:
        raise BadCheckpointError(
            f"the checkpoint is of another job ({owner[:12]}, this one is {identity[:12]}): its "
            f"scene, masks, seed or settings differ; {remedy}"
        )
    try:
        state = torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds here, all mean this
        raise BadCheckpointError(f"the checkpoint cannot be read ({error}); {remedy}") from error
    return Checkpoint(next_step, state)


def plain(value: Any) -> Any:
    """Return the value with numbers of numpy as Python's, so that no code is needed to read it."""
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, torch.Tensor) or not hasattr(value, "item"):
        return value
    return value.item()
