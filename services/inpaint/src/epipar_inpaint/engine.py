"""What a completion engine is: a scene and its masks in, a completed scene folder out.

Engines are found by the entry point group ``epipar.completion_engines``; each entry names a class
that is made without arguments. An engine runs in the job's child process and knows no protobuf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from epipar_kit.errors import InvalidInputError
from epipar_kit.events import Report

DEFAULT_ENGINE = "fusion"
DEFAULT_PAINTER = "exemplar"

Intent: TypeAlias = Literal["complete", "remove"]
"""Why a region is a hole: a surface is missing, or it is to be taken away."""

Preview: TypeAlias = Callable[[Path], None]
"""Told of a preview picture that the engine has written into its output folder."""


@dataclass(frozen=True, slots=True)
class CompletionOptions:
    """Settings of a completion.

    Attributes:
        seed: of everything random.
        painter: name of the 2D painter.
        extra: settings that only one engine knows, by name.

    Raises:
        InvalidInputError: BAD_OPTION, a value is out of its range.
    """

    seed: int = 0
    painter: str = DEFAULT_PAINTER
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**31:
            raise InvalidInputError(
                "BAD_OPTION", "options.seed", f"seed is {self.seed}; it must be 0 to {2**31 - 1}"
            )


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One completion.

    Attributes:
        scene: a finished scene folder.
        masks: a finished mask set of it: color/ and depth/ with a PNG for each frame (255 = keep,
            0 = hole), masks.json.
        output: folder to fill with a completed scene folder and provenance/; finished views of the
            same content_hash in it are gone on from.
        content_hash: of scene, masks, intent, engine and options; goes into completion.json.
        intent: what the holes mean.
        options: how to work.
        workers: processes or threads to use at most.
    """

    scene: Path
    masks: Path
    output: Path
    content_hash: str
    intent: Intent
    options: CompletionOptions = field(default_factory=CompletionOptions)
    workers: int = 1


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """What a completion made.

    Attributes:
        filled: pixels by provenance ("reprojected", "plane", "free", "painted", "diffusion").
        stage_seconds: seconds by stage, this run only.
        resumed_views: views taken over from an interrupted run.
    """

    filled: Mapping[str, int]
    stage_seconds: Mapping[str, float]
    resumed_views: int = 0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do and needs.

    Attributes:
        version: of the engine.
        description: one sentence for a person.
        licence: SPDX identifier of its code.
        needs_gpu: it cannot run without one.
        painters: names of the painters it can use.
        cancel_grace_s: how long it may take, when cancelled, to keep what it has.
    """

    version: str
    description: str
    licence: str
    needs_gpu: bool
    painters: tuple[str, ...]
    cancel_grace_s: float = 1.0


class CompletionEngine(Protocol):
    """Completes scenes. Made without arguments by the job's process."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; cheap, without loading anything heavy."""
        ...

    def complete(
        self, request: CompletionRequest, report: Report, preview: Preview
    ) -> CompletionResult:
        """Fill request.output with a completed scene.

        The engine writes images/ (PNG), depth/, confidence/, sky/, provenance/, transforms.json and
        scene.json. The caller writes completion.json, last.

        Raises:
            EpiparError: anything a caller can cause or must know.
        """
        ...
