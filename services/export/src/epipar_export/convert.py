"""Between the messages of epipar.export.v1 and the dataclasses of this package."""

from __future__ import annotations

from typing import Any

from epipar.export.v1 import export_service_pb2 as pb
from epipar_export.options import ExportOptions, OutlierRemoval
from epipar_kit.errors import InvalidInputError

_CODECS: dict[int, str] = {
    pb.CODEC_UNSPECIFIED: "meshopt",
    pb.CODEC_MESHOPT: "meshopt",
    pb.CODEC_DRACO: "draco",
    pb.CODEC_NONE: "none",
}
_MESHOPT_EXTENSIONS: dict[int, str] = {
    pb.MESHOPT_EXTENSION_UNSPECIFIED: "KHR",
    pb.MESHOPT_EXTENSION_KHR: "KHR",
    pb.MESHOPT_EXTENSION_EXT: "EXT",
}
_DRACO_MODES: dict[int, str] = {
    pb.DRACO_MODE_UNSPECIFIED: "sorted",
    pb.DRACO_MODE_SORTED: "sorted",
    pb.DRACO_MODE_PER_TILE: "per_tile",
}
_OPTIONAL = {
    "position_bits": "position_bits",
    "color_tolerance": "color_tolerance",
    "preview_points": "preview_points",
    "medium_points": "medium_points",
    "full_points": "full_points",
    "preview_drop_percent": "preview_drop_percent",
    "medium_drop_percent": "medium_drop_percent",
    "full_drop_percent": "full_drop_percent",
    "min_confidence": "min_confidence",
    "glb": "write_glb",
    "tiles": "write_tiles",
    "ply": "write_ply",
}
"""Field of the message → field of ExportOptions, for those with presence."""


def options_from_message(message: pb.ExportOptions) -> ExportOptions:
    """Read the options; an unset field takes its default.

    Raises:
        InvalidInputError: CODEC_UNKNOWN, BAD_BITS or BAD_OPTION with the field.
    """
    _refuse_surface(message)
    values: dict[str, Any] = {
        name: getattr(message, field) for field, name in _OPTIONAL.items() if message.HasField(field)
    }
    values["codec"] = _choice("codec", message.codec, _CODECS, "CODEC_UNKNOWN")
    values["meshopt_extension"] = _choice(
        "meshopt_extension", message.meshopt_extension, _MESHOPT_EXTENSIONS
    )
    values["draco_mode"] = _choice("draco_mode", message.draco_mode, _DRACO_MODES)
    values["precompress"] = tuple(message.precompress)
    if message.HasField("outlier_removal"):
        outliers = message.outlier_removal
        given = {
            name: getattr(outliers, name)
            for name in ("neighbors", "std_ratio")
            if outliers.HasField(name)
        }
        values["outlier_removal"] = OutlierRemoval(**given)
    return ExportOptions(**values)


def _refuse_surface(message: pb.ExportOptions) -> None:
    if message.geometry not in {pb.GEOMETRY_UNSPECIFIED, pb.GEOMETRY_POINTS}:
        raise InvalidInputError(
            "BAD_OPTION",
            "options.geometry",
            "this version makes points only; leave geometry unset or use GEOMETRY_POINTS",
        )


def _choice(
    field: str, value: int, names: dict[int, str], reason: str = "BAD_OPTION"
) -> str:
    if value not in names:
        wanted = ", ".join(dict.fromkeys(names.values()))
        raise InvalidInputError(
            reason, f"options.{field}", f"{field} is {value}, which does not exist; known: {wanted}"
        )
    return names[value]
