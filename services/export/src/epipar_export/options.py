"""What an export may be asked for: every setting with its bounds, checked once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from epipar_kit.errors import InvalidInputError

Codec = Literal["meshopt", "draco", "none"]
MeshoptExtension = Literal["KHR", "EXT"]
DracoMode = Literal["sorted", "per_tile"]
Geometry = Literal["points", "surface", "points_and_surface"]

CODECS: tuple[str, ...] = get_args(Codec)
MESHOPT_EXTENSIONS: tuple[str, ...] = get_args(MeshoptExtension)
DRACO_MODES: tuple[str, ...] = get_args(DracoMode)
GEOMETRIES: tuple[str, ...] = get_args(Geometry)
ENCODINGS = ("zstd", "br")

MIN_BITS, MAX_BITS = 8, 16
MIN_PREVIEW_POINTS, MAX_PREVIEW_POINTS = 100, 10_000_000
MAX_POINTS = 100_000_000
MAX_DROP_PERCENT = 90.0
MAX_COLOR_TOLERANCE = 8
MIN_TRIANGLES, MAX_TRIANGLES = 100, 100_000_000
MIN_MEMORY_MIB, MAX_MEMORY_MIB = 16, 65_536


@dataclass(frozen=True, slots=True)
class OutlierRemoval:
    """Statistical outlier removal: far from one's neighbours, compared with everybody else.

    Attributes:
        neighbors: nearest neighbours to look at, 2 to 64.
        std_ratio: standard deviations above the mean distance from which a point goes, 0.1 to 10.
    """

    neighbors: int = 16
    std_ratio: float = 2.0

    def __post_init__(self) -> None:
        _check_whole("outlier_removal.neighbors", self.neighbors, 2, 64)
        _check_real("outlier_removal.std_ratio", self.std_ratio, 0.1, 10.0)


@dataclass(frozen=True, slots=True)
class SurfaceOptions:
    """Settings of a surface.

    Attributes:
        voxel_size: side of a voxel, scene units, positive; None is chosen from the depth maps'
            resolution and noise, and widened where the memory does not do.
        preview_triangles: most triangles of the level "preview", at least 100.
        medium_triangles: most triangles of the level "medium", at least preview_triangles.
        memory_mib: memory of the voxels at most, MiB, 16 to 65536.
    """

    voxel_size: float | None = None
    preview_triangles: int = 50_000
    medium_triangles: int = 500_000
    memory_mib: int = 1024

    def __post_init__(self) -> None:
        if self.voxel_size is not None:
            _check_real("surface.voxel_size", self.voxel_size, 1e-12, 1e12)
        low = MIN_TRIANGLES
        _check_whole("surface.preview_triangles", self.preview_triangles, low, MAX_TRIANGLES)
        low = self.preview_triangles
        _check_whole("surface.medium_triangles", self.medium_triangles, low, MAX_TRIANGLES)
        _check_whole("surface.memory_mib", self.memory_mib, MIN_MEMORY_MIB, MAX_MEMORY_MIB)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Settings of one export.

    Attributes:
        codec: how GLBs and tiles are compressed.
        meshopt_extension: KHR is smaller; EXT for older readers.
        draco_mode: "sorted" keeps the nested order; "per_tile" codes blocks without an order.
        position_bits: bits of a coordinate on the global grid, 8 to 16.
        color_tolerance: largest error of a colour after decoding, in 8-bit sRGB steps, 1 to 8.
        preview_points: most points of the level "preview", 100 to 10 million; the default keeps
            its GLB under 0.6 MB.
        medium_points: most points of the level "medium", at least preview_points.
        full_points: most points of the level "full" and the tiles, at least medium_points.
        preview_drop_percent: least confident share left out of "preview", 0 to 90.
        medium_drop_percent: the same for "medium", at most preview_drop_percent.
        full_drop_percent: the same for "full" and the tiles, at most medium_drop_percent.
        min_confidence: smallest confidence of a point, 0 to 1: a global cut.
        outlier_removal: None leaves every point in.
        write_glb: write the three GLBs.
        write_tiles: write the 3D Tiles octree.
        write_ply: write cloud.ply.
        precompress: encodings written beside each GLB and JSON file: "zstd" (.zst), "br" (.br).
        memory_points: most distinct points held while a scene is read, at least 1 million; beyond
            it, points are merged in cells twice as wide.
        geometry: what to make of the scene; a surface alone takes no setting of the points but
            codec, meshopt_extension, position_bits, color_tolerance and precompress.
        surface: settings of the surface, where one is made.

    Raises:
        InvalidInputError: CODEC_UNKNOWN, BAD_BITS or BAD_OPTION with the field, the value seen and
            the value wanted.
    """

    codec: Codec = "meshopt"
    meshopt_extension: MeshoptExtension = "KHR"
    draco_mode: DracoMode = "sorted"
    position_bits: int = 14
    color_tolerance: int = 2
    preview_points: int = 80_000
    medium_points: int = 1_000_000
    full_points: int = 10_000_000
    preview_drop_percent: float = 0.0
    medium_drop_percent: float = 0.0
    full_drop_percent: float = 0.0
    min_confidence: float = 0.0
    outlier_removal: OutlierRemoval | None = None
    write_glb: bool = True
    write_tiles: bool = True
    write_ply: bool = True
    precompress: tuple[str, ...] = ()
    memory_points: int = 30_000_000
    geometry: Geometry = "points"
    surface: SurfaceOptions = field(default_factory=SurfaceOptions)

    def __post_init__(self) -> None:
        _check_choice("geometry", self.geometry, GEOMETRIES)
        _check_choice("codec", self.codec, CODECS, "CODEC_UNKNOWN")
        _check_choice("meshopt_extension", self.meshopt_extension, MESHOPT_EXTENSIONS)
        _check_choice("draco_mode", self.draco_mode, DRACO_MODES)
        _check_whole("position_bits", self.position_bits, MIN_BITS, MAX_BITS, "BAD_BITS")
        _check_whole("color_tolerance", self.color_tolerance, 1, MAX_COLOR_TOLERANCE)
        self._check_points()
        self._check_drops()
        _check_real("min_confidence", self.min_confidence, 0.0, 1.0)
        if not (self.write_glb or self.write_tiles or self.write_ply):
            raise InvalidInputError(
                "BAD_OPTION", "glb", "glb, tiles and ply are all off; at least one must be on"
            )
        for encoding in self.precompress:
            _check_choice("precompress", encoding, ENCODINGS)
        _check_whole("memory_points", self.memory_points, 1_000_000, 10 * MAX_POINTS)

    def _check_points(self) -> None:
        names = ("preview_points", "medium_points", "full_points")
        _check_whole(names[0], self.preview_points, MIN_PREVIEW_POINTS, MAX_PREVIEW_POINTS)
        _check_whole(names[1], self.medium_points, self.preview_points, MAX_POINTS)
        _check_whole(names[2], self.full_points, self.medium_points, MAX_POINTS)

    def _check_drops(self) -> None:
        _check_real("preview_drop_percent", self.preview_drop_percent, 0.0, MAX_DROP_PERCENT)
        _check_real("medium_drop_percent", self.medium_drop_percent, 0.0, self.preview_drop_percent)
        _check_real("full_drop_percent", self.full_drop_percent, 0.0, self.medium_drop_percent)

    def with_drop_preset(self) -> ExportOptions:
        """Return these options with the drop percentages 20 (preview), 10 (medium), 3 (full)."""
        return replace(
            self, preview_drop_percent=20.0, medium_drop_percent=10.0, full_drop_percent=3.0
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON values; options_from_dict reads them back."""
        values = asdict(self)
        values["precompress"] = list(self.precompress)
        if self.geometry == "points":
            # As before there were surfaces: what was exported then keeps its hash.
            del values["geometry"], values["surface"]
        return values


def options_from_dict(values: dict[str, Any]) -> ExportOptions:
    """Read what ExportOptions.to_dict wrote.

    Raises:
        InvalidInputError: BAD_OPTION for an unknown key, else as ExportOptions does.
    """
    known = set(ExportOptions.__dataclass_fields__)
    for name in values:
        if name not in known:
            raise InvalidInputError("BAD_OPTION", name, f"option {name!r} does not exist")
    values = dict(values)
    values["precompress"] = tuple(values.get("precompress", ()))
    if values.get("outlier_removal") is not None:
        values["outlier_removal"] = OutlierRemoval(**values["outlier_removal"])
    if values.get("surface") is not None:
        values["surface"] = SurfaceOptions(**values["surface"])
    return ExportOptions(**values)


def _check_choice(
    field: str, value: str, choices: tuple[str, ...], reason: str = "BAD_OPTION"
) -> None:
    if value not in choices:
        wanted = ", ".join(choices)
        raise InvalidInputError(reason, field, f"{field} is {value!r}; it must be one of {wanted}")


def _check_whole(field: str, value: int, low: int, high: int, reason: str = "BAD_OPTION") -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        message = f"{field} is {value!r}; it must be a whole number from {low} to {high}"
        raise InvalidInputError(reason, field, message)


def _check_real(field: str, value: float, low: float, high: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise InvalidInputError("BAD_OPTION", field, f"{field} is {value!r}; it must be a number")
    if not low <= value <= high:
        message = f"{field} is {value:g}; it must be {low:g} to {high:g}"
        raise InvalidInputError("BAD_OPTION", field, message)
