"""A surface's settings and levels in the contract's messages."""

from __future__ import annotations

import pytest

from epipar.export.v1 import export_service_pb2 as pb
from epipar_export.convert import options_from_message
from epipar_export.options import ExportOptions, SurfaceOptions
from epipar_kit.errors import InvalidInputError


def test_unset_fields_take_their_defaults() -> None:
    message = pb.ExportOptions(geometry=pb.GEOMETRY_SURFACE)
    assert options_from_message(message) == ExportOptions(geometry="surface")
    message.surface.SetInParent()
    assert options_from_message(message) == ExportOptions(geometry="surface")
    assert options_from_message(pb.ExportOptions()) == ExportOptions()


def test_set_fields_are_read() -> None:
    settings = pb.SurfaceOptions(
        voxel_size=0.02, preview_triangles=900, medium_triangles=7000, memory_mib=64
    )
    message = pb.ExportOptions(geometry=pb.GEOMETRY_POINTS_AND_SURFACE, surface=settings)
    assert options_from_message(message) == ExportOptions(
        geometry="points_and_surface",
        surface=SurfaceOptions(0.02, preview_triangles=900, medium_triangles=7000, memory_mib=64),
    )


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (pb.ExportOptions(geometry=99), "geometry"),  # type: ignore[arg-type]  # a later client's
        (pb.ExportOptions(surface=pb.SurfaceOptions(voxel_size=0)), "surface.voxel_size"),
        (pb.ExportOptions(surface=pb.SurfaceOptions(voxel_size=-1)), "surface.voxel_size"),
        (pb.ExportOptions(surface=pb.SurfaceOptions(memory_mib=0)), "surface.memory_mib"),
        (pb.ExportOptions(position_bits=40), "position_bits"),
    ],
)
def test_values_that_do_not_exist_are_refused_with_their_field(
    message: pb.ExportOptions, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        options_from_message(message)
    assert caught.value.field == f"options.{field}"
