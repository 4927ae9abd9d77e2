"""The surface's settings on the command line of `epipar export`."""

from __future__ import annotations

import pytest

from epipar_cli.arguments import build_parser
from epipar_cli.export import options_of
from epipar_client import ExportOptions, InvalidInputError, SurfaceOptions


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], ExportOptions()),
        (["--surface"], ExportOptions(geometry="points_and_surface")),
        (
            ["--surface-only", "--voxel", "0.02", "--preview-triangles", "900"],
            ExportOptions(
                geometry="surface",
                surface=SurfaceOptions(voxel_size=0.02, preview_triangles=900),
            ),
        ),
        (
            ["--surface", "--medium-triangles", "7000", "--surface-memory", "64"],
            ExportOptions(
                geometry="points_and_surface",
                surface=SurfaceOptions(medium_triangles=7000, memory_mib=64),
            ),
        ),
    ],
)
def test_words_become_options(words: list[str], options: ExportOptions) -> None:
    assert options_of(build_parser().parse_args(["export", "kitchen", *words])) == options


def test_settings_of_a_surface_that_is_not_asked_for_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="add --surface"):
        options_of(build_parser().parse_args(["export", "kitchen", "--voxel", "0.02"]))
