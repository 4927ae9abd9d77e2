"""What a depth engine is: a request in, progress on the way, a finished scene folder at the end.

Engines are found by the entry point group ``epipar.depth_engines``; each entry names a class that
is made without arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from epipar_kit.errors import InvalidInputError
from epipar_kit.events import Report
from epipar_scene.arrays import F64
from epipar_scene.cameras import Intrinsics
from epipar_scene.content_hash import content_hash
from epipar_scene.frames import check_pose

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
class Da3Options:
    """Settings of the engine "da3".

    Attributes:
        model: name of the model.
        chunk_frames: most images in one pass; halved while the device has no memory for so many.
        dtype: "bf16", "fp16" or "fp32"; "": the device's best.
        accept_licence: name of a licence that the caller accepts; the result does not depend on it.
        process_side_px: longer side of the pictures that the model sees, a multiple of 14.

    Raises:
        InvalidInputError: BAD_OPTION, a value is out of its range.
    """

    model: str = "da3-base"
    chunk_frames: int = 60  # attention grows with the square, and so does the time to a cancel
    dtype: str = ""
    accept_licence: str = ""
    process_side_px: int = 504

    def __post_init__(self) -> None:
        _check_range("options.da3.chunk_frames", self.chunk_frames, 1, 1000)
        _check_range("options.da3.process_side_px", self.process_side_px, 140, 1036)
        if self.process_side_px % 14:
            raise InvalidInputError(
                "BAD_OPTION",
                "options.da3.process_side_px",
                f"options.da3.process_side_px is {self.process_side_px}; it must be a multiple "
                f"of 14, such as {self.process_side_px // 14 * 14}",
            )
        if self.dtype not in {"", "bf16", "fp16", "fp32"}:
            raise InvalidInputError(
                "BAD_OPTION",
                "options.da3.dtype",
                f"options.da3.dtype is {self.dtype[:40]!r}; it must be bf16, fp16 or fp32",
            )


@dataclass(frozen=True, slots=True)
class DepthOptions:
    """Settings of a prediction.

    Attributes:
        max_frames: a clip of at most 100 frames uses all of them, up to this many; of a longer
            one so many are chosen at most.
        max_side_px: longer side of the scene's images; larger input is scaled down.
        seed: of everything random.
        mvs: settings of the engine "mvs".
        da3: settings of the engine "da3".

    Raises:
        InvalidInputError: BAD_OPTION, a value is out of its range.
    """

    max_frames: int = 300
    max_side_px: int = 960
    seed: int = 0
    mvs: MvsOptions = field(default_factory=MvsOptions)
    da3: Da3Options = field(default_factory=Da3Options)

    def __post_init__(self) -> None:
        _check_range("options.max_frames", self.max_frames, 3, 10_000)
        _check_range("options.max_side_px", self.max_side_px, 64, 4096)
        _check_range("options.seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True, slots=True, eq=False)
class KnownCamera:
    """A camera that came with the request.

    Attributes:
        intrinsics: of the image as it came.
        camera_to_world: (4, 4) float64 rigid, OpenCV axes, in the caller's unit.

    Raises:
        InvalidInputError: BAD_OPTION, it is no pinhole camera in a rigid place.
    """

    intrinsics: Intrinsics
    camera_to_world: F64

    def __post_init__(self) -> None:
        object.__setattr__(self, "camera_to_world", check_pose(self.camera_to_world))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values that camera_from_json reads."""
        return {
            **asdict(self.intrinsics),
            "camera_to_world": self.camera_to_world.reshape(-1).tolist(),
        }


def camera_from_json(values: Mapping[str, Any]) -> KnownCamera:
    """Read what KnownCamera.to_json wrote.

    Raises:
        InvalidInputError: BAD_OPTION, it is no pinhole camera in a rigid place.
    """
    try:
        rest = dict(values)
        pose = np.array(rest.pop("camera_to_world"), np.float64).reshape(4, 4)
        return KnownCamera(Intrinsics(**rest), pose)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            "BAD_OPTION", "cameras", f"a camera is no camera: {error}"
        ) from None


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
        cameras: known ones, one for each image of the source in its order; empty: none are known.
        model_host: where the service's model host listens, for engines that use one; None: the
            engine starts its own.
        decode_apart: this process must live on whatever is in the source; it is decoded in another.
    """

    source: Path
    output: Path
    source_sha256: str
    options: DepthOptions = field(default_factory=DepthOptions)
    workers: int = 0
    cameras: tuple[KnownCamera, ...] = ()
    model_host: Path | None = None
    decode_apart: bool = False

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
        scale: what a scene unit is.
        sky: it tells sky.
        min_frames: fewest it works with.
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
    scale: Literal["metric", "arbitrary"] = "arbitrary"
    sky: bool = False
    min_frames: int = 3

    def memory_mib(self, width: int, height: int, workers: int) -> int:
        """Estimate peak memory for frames of this size with so many processes at a time."""
        each = self.mib_per_megapixel * width * height / 1e6
        return round((self.base_mib + each) * max(1, workers) + self.base_mib)


@dataclass(frozen=True, slots=True)
class EngineModel:
    """Weights that an engine can use.

    Attributes:
        name: as options call it.
        revision: pinned; "" where they were never here.
        sha256: of the weights file, pinned; "" where they were never here.
        licence: SPDX identifier of the weights.
        present: they are on this machine.
        capabilities: of the engine with this model.
    """

    name: str
    revision: str
    sha256: str
    licence: str
    present: bool
    capabilities: Capabilities


class Engine(Protocol):
    """Makes a scene folder from a video or photos."""

    @property
    def capabilities(self) -> Capabilities:
        """What the engine is, can do and needs."""
        ...

    @property
    def models(self) -> Sequence[EngineModel]:
        """Weights that it can use, the default first; empty for engines without."""
        ...

    def check(self, options: DepthOptions, cameras: Sequence[KnownCamera]) -> Mapping[str, Any]:
        """Refuse, before anything is begun, what cannot work; reads no input.

        Returns:
            What the result depends on beside input and options, as JSON values: such as which
            weights lie here now.

        Raises:
            EpiparError: typed, see the room's README for the reasons.
        """
        ...

    def run(self, request: DepthRequest, report: Report) -> DepthResult:
        """Make the scene; blocks until it is finished.

        Raises:
            EpiparError: typed, see the room's README for the reasons.
        """
        ...


def options_json(options: DepthOptions, capabilities: Capabilities) -> dict[str, Any]:
    """Return every setting that the result depends on; goes into scene.json and the hash."""
    values = asdict(options)
    others = {"mvs", "da3"} - {capabilities.name}
    own = {name: value for name, value in values.items() if name not in others}
    if "da3" in own:
        del own["da3"]["accept_licence"]  # a permission, no setting
    return {"engine": capabilities.name, "engine_version": capabilities.version, **own}


def request_hash(
    source_sha256: str,
    options: DepthOptions,
    capabilities: Capabilities,
    beside: Mapping[str, Any] | None = None,
) -> str:
    """Return the content hash by which the result of a request is found again.

    Args:
        source_sha256: of the input.
        options: how to work.
        capabilities: of the engine.
        beside: what Engine.check returned.
    """
    return content_hash(source_sha256, {**options_json(options, capabilities), **(beside or {})})


def options_from_json(values: Mapping[str, Any]) -> DepthOptions:
    """Read options as a job request carries them; absent ones take their defaults.

    Raises:
        InvalidInputError: BAD_OPTION, a name is unknown or a value is out of its range.
    """
    unknown = sorted(values.keys() - {f.name for f in fields(DepthOptions)})
    engines: dict[str, type[MvsOptions | Da3Options]] = {"mvs": MvsOptions, "da3": Da3Options}
    own = {name: dict(values.get(name) or {}) for name in engines}
    for name, kind in engines.items():
        names = {f.name for f in fields(kind)}
        unknown += [f"{name}.{each}" for each in sorted(own[name].keys() - names)]
    if unknown:
        raise InvalidInputError(
            "BAD_OPTION", f"options.{unknown[0]}", f"option {unknown[0]!r} does not exist"
        )
    return DepthOptions(**{**values, **{name: engines[name](**own[name]) for name in engines}})


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidInputError(
            "BAD_OPTION", name, f"{name} is {value!r}; it must be {low} to {high}"
        )
