"""What calls are made with: sources, cameras and settings. None means the service's default."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from epipar_client.errors import InvalidInputError

Codec: TypeAlias = Literal["meshopt", "draco", "none"]
MeshoptExtension: TypeAlias = Literal["KHR", "EXT"]
Geometry: TypeAlias = Literal["points", "surface", "points_and_surface"]
Encoding: TypeAlias = Literal["zstd", "br"]

MAX_INLINE_IMAGES = 16
MAX_INLINE_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class InlineImage:
    """One encoded image (JPEG, PNG or WebP) that travels inside the request.

    Raises:
        InvalidInputError: the name is empty, longer than 255 bytes or has a path separator; or
            there are no bytes.
    """

    name: str
    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name or "\\" in self.name or len(self.name.encode()) > 255:
            raise InvalidInputError(
                f"image name is {self.name[:300]!r}; it must be a plain file name of at most "
                "255 bytes",
                reason="BAD_REQUEST",
                field="inline_images.images.name",
            )
        if not self.data:
            raise InvalidInputError(
                f"{self.name!r} is empty", reason="UNREADABLE_IMAGE", field="inline_images.images"
            )

    @classmethod
    def from_file(cls, path: Path | str) -> InlineImage:
        """Read one image file; its name becomes the image's name."""
        path = Path(path)
        return cls(path.name, path.read_bytes())


def check_inline_images(images: tuple[InlineImage, ...]) -> None:
    """Refuse here what the service would refuse after the upload.

    Raises:
        InvalidInputError: there are no images, more than 16, more than 16 MiB in all, or two have
            one name.
    """
    total = sum(len(image.data) for image in images)
    if not 1 <= len(images) <= MAX_INLINE_IMAGES or total > MAX_INLINE_BYTES:
        raise InvalidInputError(
            f"{len(images)} inline images have {total / 2**20:.1f} MiB in all; they must be 1 to "
            f"{MAX_INLINE_IMAGES} with at most {MAX_INLINE_BYTES // 2**20} MiB",
            reason="INPUT_TOO_LARGE" if images else "BAD_REQUEST",
            field="inline_images.images",
        )
    names = [image.name for image in images]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(
            f"two inline images are named {twice[0]!r}; names must be unique",
            reason="BAD_REQUEST",
            field="inline_images.images.name",
        )


@dataclass(frozen=True, slots=True)
class Camera:
    """A known pinhole camera in OpenCV axes (x right, y down, z forward); pixel centres at +0.5.

    Attributes:
        width: image width in pixels.
        height: image height in pixels.
        fx: horizontal focal length in pixels.
        fy: vertical focal length in pixels.
        cx: principal point, horizontal, in pixels.
        cy: principal point, vertical, in pixels.
        camera_to_world: 4x4, row-major, 16 values.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    camera_to_world: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.camera_to_world) != 16:
            raise InvalidInputError(
                f"camera_to_world has {len(self.camera_to_world)} values; it must have 16",
                reason="BAD_REQUEST",
                field="cameras.camera_to_world",
            )


@dataclass(frozen=True, slots=True)
class MvsOptions:
    """Settings of the engine "mvs": see MvsOptions in depth_service.proto."""

    planes: int | None = None
    sources: int | None = None
    min_agreeing_views: int | None = None
    sequential: bool | None = None


@dataclass(frozen=True, slots=True)
class Da3Options:
    """Settings of the engine "da3": see Da3Options in depth_service.proto."""

    model: str | None = None
    chunk_frames: int | None = None
    dtype: Literal["bf16", "fp16", "fp32"] | None = None
    accept_licence: str | None = None
    process_side_px: int | None = None


@dataclass(frozen=True, slots=True)
class DepthOptions:
    """Settings of a reconstruction.

    Attributes:
        max_frames: most frames to use, 3 to 10000.
        max_side_px: longer side of the scene's images, 64 to 4096 pixels.
        seed: seed of everything random.
        mvs: settings of the engine "mvs".
        da3: settings of the engine "da3".
    """

    max_frames: int | None = None
    max_side_px: int | None = None
    seed: int | None = None
    mvs: MvsOptions | None = None
    da3: Da3Options | None = None


@dataclass(frozen=True, slots=True)
class OutlierRemoval:
    """Remove points far from their neighbours: how many to look at, and how far is far."""

    neighbors: int | None = None
    std_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class SurfaceOptions:
    """Settings of a surface: `voxel_size` in scene units, `memory_mib` of its voxels at most."""

    voxel_size: float | None = None
    preview_triangles: int | None = None
    medium_triangles: int | None = None
    memory_mib: int | None = None


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """Settings of an export.

    Attributes:
        codec: how GLBs and tiles are compressed.
        position_bits: bits of a coordinate, 8 to 16.
        preview_points: most points of the level "preview".
        medium_points: most points of the level "medium".
        full_points: most points of the level "full" and of the tiles.
        drop_percent: share of the least confident points to leave out of preview, medium and
            full, in percent; each at most the one before.
        outlier_removal: if set, remove points far from their neighbours first.
        glb: write the three GLBs.
        tiles: write the 3D Tiles octree.
        ply: write cloud.ply.
        meshopt_extension: which name the meshopt extension has in the files.
        precompress: encodings to write beside each GLB and JSON file.
        min_confidence: a global cut, 0 to 1; prefer `drop_percent`.
        geometry: what to make of the scene.
        surface: settings of the surface, where one is made.

    Raises:
        InvalidInputError: a codec, extension, geometry or encoding does not exist.
    """

    codec: Codec | None = None
    position_bits: int | None = None
    preview_points: int | None = None
    medium_points: int | None = None
    full_points: int | None = None
    drop_percent: tuple[float, float, float] | None = None
    outlier_removal: OutlierRemoval | None = None
    glb: bool | None = None
    tiles: bool | None = None
    ply: bool | None = None
    meshopt_extension: MeshoptExtension | None = None
    precompress: tuple[Encoding, ...] = ()
    min_confidence: float | None = None
    geometry: Geometry | None = None
    surface: SurfaceOptions | None = None

    def __post_init__(self) -> None:
        _check_choice("codec", self.codec, get_args(Codec), "CODEC_UNKNOWN")
        _check_choice("meshopt_extension", self.meshopt_extension, get_args(MeshoptExtension))
        _check_choice("geometry", self.geometry, get_args(Geometry))
        for encoding in self.precompress:
            _check_choice("precompress", encoding, get_args(Encoding))


def _check_choice(
    name: str, value: str | None, choices: tuple[str, ...], reason: str = "BAD_OPTION"
) -> None:
    if value is not None and value not in choices:
        raise InvalidInputError(
            f"{name} is {value!r}; it must be one of {', '.join(choices)}",
            reason=reason,
            field=f"options.{name}",
        )
