"""The models that the engine "da3" knows: where they come from, what they may and can do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from epipar_kit.errors import InvalidInputError, NotReadyError

DEFAULT_MODEL = "da3-base"
FREE_LICENCES = frozenset({"Apache-2.0", "MIT", "BSD-3-Clause"})
"""Licences that need no acceptance by name."""

REFERENCE_PIXELS = 504 * 378
"""Pixels of the image that ``image_mib`` is given for: 504 on the longer side, 4:3."""

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One set of weights.

    Attributes:
        name: as requests call it.
        repo: on the Hugging Face hub; "" where the weights come from elsewhere.
        architecture: name of a configuration in the package depth-anything-3, or path of a YAML
            file of the same form (whoever can write it can run code in the model host).
        licence: SPDX identifier of the weights.
        summary: one sentence for a person.
        revision: of the repo; "" where `epipar models pull` is to pin it.
        sha256: of the weights file; "" where `epipar models pull` is to pin it.
        views: several images in one pass, with confidence.
        poses: it estimates cameras, and takes known ones.
        metric: its depth is in metres (with a known focal length).
        sky: it tells sky.
        base_mib: memory of the loaded model; its parameters are kept in 4 bytes each.
        image_mib: further memory for each image of REFERENCE_PIXELS in one pass.

    Raises:
        ValueError: a value is out of its range.
    """

    name: str
    repo: str
    architecture: str
    licence: str
    summary: str
    revision: str = ""
    sha256: str = ""
    views: bool = True
    poses: bool = True
    metric: bool = False
    sky: bool = False
    base_mib: int = 1600
    image_mib: int = 600

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"model name is {self.name!r}; it must be like 'da3-base'")
        if not self.licence:
            raise ValueError(f"model {self.name!r} names no licence; give its SPDX identifier")
        for name in ("base_mib", "image_mib"):
            value = getattr(self, name)
            if not 1 <= value <= 10**6:
                raise ValueError(f"{name} of {self.name!r} is {value}; it must be 1 to 1000000")

    def chunk_mib(self, images: int, height: int, width: int) -> int:
        """Estimate the memory of one pass beside the loaded model."""
        return round(self.image_mib * images * height * width / REFERENCE_PIXELS)

    def fitting_images(self, free_mib: int, height: int, width: int) -> int:
        """Return how many images one pass may have in so much memory."""
        return int(free_mib // max(1.0, self.image_mib * height * width / REFERENCE_PIXELS))

    def check_licence(self, accepted: str) -> None:
        """Refuse weights whose licence must be accepted by name and was not.

        Raises:
            NotReadyError: LICENCE_NOT_ACCEPTED.
        """
        if self.licence not in FREE_LICENCES and accepted != self.licence:
            given = f"{accepted[:40]!r} was accepted" if accepted else "nothing was accepted"
            raise NotReadyError(
                "LICENCE_NOT_ACCEPTED",
                f"the weights of {self.name!r} are under {self.licence}, {given}; if that licence "
                f"allows your use, set options.da3.accept_licence to {self.licence!r} "
                f"(--accept-licence {self.licence}), or use {DEFAULT_MODEL!r}",
                subject=self.name,
                licence=self.licence,
            )


_NC = "CC-BY-NC-4.0"
_BUILT_IN = (
    ModelSpec(
        "da3-base",
        "depth-anything/DA3-BASE",
        "da3-base",
        "Apache-2.0",
        "Any-view model for cards from 8 GB; the default.",
        base_mib=800,
        image_mib=350,
    ),
    ModelSpec(
        "da3-small",
        "depth-anything/DA3-SMALL",
        "da3-small",
        "Apache-2.0",
        "The smallest any-view model; for small cards and CPUs.",
        base_mib=350,
        image_mib=180,
    ),
    ModelSpec(
        "da3-large",
        "depth-anything/DA3-LARGE",
        "da3-large",
        _NC,
        "Large any-view model; not for commercial use.",
    ),
    ModelSpec(
        "da3-giant",
        "depth-anything/DA3-GIANT",
        "da3-giant",
        _NC,
        "The largest any-view model; not for commercial use.",
        base_mib=5300,
        image_mib=1200,
    ),
    ModelSpec(
        "da3nested-giant-large",
        "depth-anything/DA3NESTED-GIANT-LARGE",
        "da3nested-giant-large",
        _NC,
        "Giant with a metric branch: metres and sky; not for commercial use.",
        metric=True,
        sky=True,
        base_mib=6700,
        image_mib=1500,
    ),
    ModelSpec(
        "da3metric-large",
        "depth-anything/DA3METRIC-LARGE",
        "da3metric-large",
        "Apache-2.0",
        "One image at a time, in metres where the camera is known; no poses.",
        views=False,
        poses=False,
        metric=True,
        sky=True,
    ),
    ModelSpec(
        "da3mono-large",
        "depth-anything/DA3MONO-LARGE",
        "da3mono-large",
        "Apache-2.0",
        "One image at a time, relative depth; no poses.",
        views=False,
        poses=False,
        sky=True,
    ),
)


def load_registry(models_file: Path | None = None) -> Mapping[str, ModelSpec]:
    """Return the models by name, the default first; those of a file stand beside the built-in.

    Args:
        models_file: JSON list of objects with the fields of ModelSpec, for weights of one's own.

    Raises:
        InvalidInputError: BAD_OPTION, the file cannot be read as that.
    """
    specs = {spec.name: spec for spec in _BUILT_IN}
    for entry in _entries(models_file) if models_file else []:
        try:
            spec = ModelSpec(**entry)
        except (TypeError, ValueError) as error:
            raise _bad_file(models_file, str(error)) from None
        if spec.name in specs:
            raise _bad_file(models_file, f"model {spec.name!r} exists already; choose another name")
        specs[spec.name] = spec
    return specs


def find_model(registry: Mapping[str, ModelSpec], name: str) -> ModelSpec:
    """Return a model by name.

    Raises:
        InvalidInputError: BAD_OPTION, there is none of this name.
    """
    spec = registry.get(name)
    if spec is None:
        raise InvalidInputError(
            "BAD_OPTION",
            "options.da3.model",
            f"options.da3.model is {name[:80]!r}; known: {', '.join(registry)}",
        )
    return spec


def spec_to_json(spec: ModelSpec) -> dict[str, Any]:
    """Return the spec as a models file holds it."""
    return asdict(spec)


def _entries(models_file: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(models_file.read_bytes())
    except (OSError, ValueError) as error:
        raise _bad_file(models_file, str(error)) from None
    known = {field.name for field in fields(ModelSpec)}
    if not isinstance(entries, list) or not all(
        isinstance(entry, dict) and entry.keys() <= known for entry in entries
    ):
        raise _bad_file(models_file, f"it must be a list of objects with {', '.join(known)}")
    return entries


def _bad_file(models_file: Path | None, why: str) -> InvalidInputError:
    return InvalidInputError(
        "BAD_OPTION", "EPIPAR_DEPTH_DA3_MODELS_FILE", f"{models_file} cannot be used: {why}"
    )
