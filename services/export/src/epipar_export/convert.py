"""Between the messages of epipar.export.v1 and the dataclasses of this package."""

from __future__ import annotations

from typing import Any

from epipar.export.v1 import export_service_pb2 as pb
from epipar_export.manifest import FILE_NAME
from epipar_export.options import ExportOptions, OutlierRemoval, SurfaceOptions
from epipar_kit.errors import InvalidInputError
from epipar_kit.messages import artifact_to_message, stored_artifact_to_message
from epipar_kit.output import FinishedEvent
from epipar_kit.store import ArtifactStore

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
_GEOMETRIES: dict[int, str] = {
    pb.GEOMETRY_UNSPECIFIED: "points",
    pb.GEOMETRY_POINTS: "points",
    pb.GEOMETRY_SURFACE: "surface",
    pb.GEOMETRY_POINTS_AND_SURFACE: "points_and_surface",
}
_NAMES = {"glb": "write_glb", "tiles": "write_tiles", "ply": "write_ply"}
"""Fields with presence that ExportOptions calls otherwise."""


def options_from_message(message: pb.ExportOptions) -> ExportOptions:
    """Read the options; an unset field takes its default.

    Raises:
        InvalidInputError: CODEC_UNKNOWN, BAD_BITS or BAD_OPTION with the field, as a path from the
            request: "options.surface.voxel_size".
    """
    try:
        return _options(message)
    except InvalidInputError as error:
        error.field = f"options.{error.field}"
        raise


def _options(message: pb.ExportOptions) -> ExportOptions:
    values: dict[str, Any] = {
        _NAMES.get(field.name, field.name): value
        for field, value in message.ListFields()
        if field.has_presence and field.message_type is None
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
    values["geometry"] = _choice("geometry", message.geometry, _GEOMETRIES)
    if message.HasField("surface"):
        fields = message.surface.ListFields()
        values["surface"] = SurfaceOptions(**{field.name: value for field, value in fields})
    return ExportOptions(**values)


def _choice(field: str, value: int, names: dict[int, str], reason: str = "BAD_OPTION") -> str:
    if value not in names:
        wanted = ", ".join(dict.fromkeys(names.values()))
        raise InvalidInputError(
            reason, field, f"{field} is {value}, which does not exist; known: {wanted}"
        )
    return names[value]


def result_to_message(
    store: ArtifactStore, export_uri: str, event: FinishedEvent
) -> pb.ExportResult:
    """Describe a finished export from its export.json and, where work was done, the job's result."""
    manifest = event.manifest
    own = stored_artifact_to_message(store.stat(f"{export_uri}/{FILE_NAME}"))
    message = pb.ExportResult(
        export_uri=export_uri,
        cached=event.cached,
        levels=[pb.Level(**level) for level in manifest["levels"]],
        artifacts=[
            *(artifact_to_message(values, export_uri) for values in manifest["artifacts"]),
            own,
        ],
        source_points=manifest["counts"]["source_points"],
        outlier_points=manifest["counts"]["outlier_points"],
        notes=manifest["notes"],
        surface_levels=[
            pb.SurfaceLevel(**level) for level in (manifest.get("surface") or {}).get("levels", ())
        ],
    )
    if not event.cached:
        message.stage_seconds.update(event.result["stage_seconds"])
    return message
