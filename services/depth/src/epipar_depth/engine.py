"""What a depth engine is: a request in, progress on the way, a finished scene folder at the end.

Engines are found by the entry point group ``epipar.depth_engines``; each entry names a class that
is made without arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol

from epipar_kit.errors import InvalidInputError
from epipar_kit.events import Report
from epipar_scene.content_hash import content_hash

DEFAULT_ENGINE = "mvs"


@dataclass(frozen=True, slots=True)
class MvsOptions:
    """Settings of the engine "mvs".

    Attributes:
        planes: most depth hypotheses of the plane sweep; fewer where the motion asks for fewer.
        sources: other views that each frame is compared with.
        min_agreeing_views: views that must agree before a pixel has depth.
        sequential: the images are neighbours in time, so matching looks at neighbours only.
            None: yes for a video, and for a folder of more than 50 images.

    Raises:
        InvalidInputError: BAD_OPTION, a value is out of its range.
    """

    planes: int = 128
    sources: int = 6
    min_agreeing_views: int = 2
    sequential: bool | None = None

    def __post_init__(self) -> None:
        _check_range("options.mvs.planes", self.planes, 16, 512)
        _check_range("options.mvs.sources", self.sources, 2, 16)
        _check_range("options.mvs.min_agreeing_views", self.min_agreeing_views, 1, 8)


@dataclass(frozen=True, slots=True)
class DepthOptions:
    """Settings of a prediction.

    Attributes:
        max_frames: a clip of at most 100 frames uses all of them, up to this many; of a longer
            one so many are chosen at most.
        max_side_px: longer side of the scene's images; larger input is scaled down.
        seed: of everything random.
        mvs: settings of the engine "mvs".

    Raises:
        InvalidInputError: BAD_OPTION, a value is out of its range.
    """

    max_frames: int = 300
    max_side_px: int = 960
    seed: int = 0
    mvs: MvsOptions = field(default_factory=MvsOptions)

    def __post_init__(self) -> None:
        _check_range("options.max_frames", self.max_frames, 3, 10_000)
        _check_range("options.max_side_px", self.max_side_px, 64, 4096)
        _check_range("options.seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True, slots=True)
class DepthRequest:
    """One prediction.

    Attributes:
        source: a video file, or a folder of images.
        output: folder to fill with the scene; unfinished work of the same content_hash in it is
            gone on from.
        source_sha256: of the source, as epipar_scene.content_hash.sha256_of_input gives it.
        options: how to work.
        workers: most processes at a time; 0: one for each core this process may use.
    """

    source: Path
    output: Path
    source_sha256: str
    options: DepthOptions = field(default_factory=DepthOptions)
    workers: int = 0

    def __post_init__(self) -> None:
        _check_range("workers", self.workers, 0, 256)


@dataclass(frozen=True, slots=True)
class DepthResult:
    """A finished scene.

    Attributes:
        input_frames: frames decoded from the source.
        selected_frames: frames chosen of them.
        registered_frames: chosen frames that have a pose and depth.
        unregistered: source_frame (index, or file name) of the chosen ones that have none.
        resumed_frames: frames taken over from an interrupted run.
        coverage: share of all pixels that have depth.
        reprojection_error_px: mean over the sparse points; 0 where the engine has none.
        timings: wall seconds by stage, this run only.
    """

    input_frames: int
    selected_frames: int
    registered_frames: int
    unregistered: tuple[int | str, ...]
    resumed_frames: int
    coverage: float
    reprojection_error_px: float
    timings: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine is, can do and needs.

    Attributes:
        name: as requests call it.
        version: goes into the content hash: another version is another result.
        description: one sentence for a person.
        licence: SPDX identifier of its code.
        needs_gpu: it does not run without one.
        poses_in: it takes known cameras.
        poses_out: it estimates cameras.
        confidence_kind: what its confidence means.
        base_mib: memory of the process itself.
        mib_per_megapixel: further memory of each worker for each million pixels of a frame.
    """

    name: str
    version: str
    description: str
    licence: str
    needs_gpu: bool
    poses_in: bool
    poses_out: bool
    confidence_kind: Literal["PROBABILITY_5PCT", "SCORE"]
    base_mib: int
    mib_per_megapixel: int

    def memory_mib(self, width: int, height: int, workers: int) -> int:
        """Estimate peak memory for frames of this size with so many processes at a time."""
        each = self.mib_per_megapixel * width * height / 1e6
        return round((self.base_mib + each) * max(1, workers) + self.base_mib)


class Engine(Protocol):
    """Makes a scene folder from a video or photos."""

    @property
    def capabilities(self) -> Capabilities:
        """What the engine is, can do and needs."""
        ...

    def run(self, request: DepthRequest, report: Report) -> DepthResult:
        """Make the scene; blocks until it is finished.

        Raises:
            EpiparError: typed, see the room's README for the reasons.
        """
        ...


def options_json(options: DepthOptions, capabilities: Capabilities) -> dict[str, Any]:
    """Return every setting that the result depends on; goes into scene.json and the hash."""
    return {
        "engine": capabilities.name,
        "engine_version": capabilities.version,
        **asdict(options),
    }


def request_hash(source_sha256: str, options: DepthOptions, capabilities: Capabilities) -> str:
    """Return the content hash by which the result of a request is found again."""
    return content_hash(source_sha256, options_json(options, capabilities))


def options_from_json(values: Mapping[str, Any]) -> DepthOptions:
    """Read options as a job request carries them; absent ones take their defaults.

    Raises:
        InvalidInputError: BAD_OPTION, a name is unknown or a value is out of its range.
    """
    known = {f.name for f in fields(DepthOptions)}
    known_mvs = {f.name for f in fields(MvsOptions)}
    mvs = dict(values.get("mvs") or {})
    unknown = sorted((values.keys() - known) | {f"mvs.{name}" for name in mvs.keys() - known_mvs})
    if unknown:
        raise InvalidInputError(
            "BAD_OPTION", f"options.{unknown[0]}", f"option {unknown[0]!r} does not exist"
        )
    return DepthOptions(**{**values, "mvs": MvsOptions(**mvs)})


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInputError(
            "BAD_OPTION", name, f"{name} is {value!r}; it must be {low} to {high}"
        )
