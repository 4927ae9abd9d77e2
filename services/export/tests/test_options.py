"""Options: every bound holds, and every error names the field."""

from __future__ import annotations

from typing import Any

import pytest

from epipar_export.options import ExportOptions, OutlierRemoval, options_from_dict
from epipar_kit.errors import InvalidInputError


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"codec": "zip"}, "CODEC_UNKNOWN", "codec"),
        ({"position_bits": 7}, "BAD_BITS", "position_bits"),
        ({"position_bits": 40}, "BAD_BITS", "position_bits"),
        ({"position_bits": 14.0}, "BAD_BITS", "position_bits"),
        ({"meshopt_extension": "MPEG"}, "BAD_OPTION", "meshopt_extension"),
        ({"draco_mode": "best"}, "BAD_OPTION", "draco_mode"),
        ({"color_tolerance": 0}, "BAD_OPTION", "color_tolerance"),
        ({"preview_points": 0}, "BAD_OPTION", "preview_points"),
        ({"preview_points": True}, "BAD_OPTION", "preview_points"),
        ({"medium_points": 79_999}, "BAD_OPTION", "medium_points"),
        ({"full_points": 10**12}, "BAD_OPTION", "full_points"),
        ({"preview_drop_percent": 91.0}, "BAD_OPTION", "preview_drop_percent"),
        ({"medium_drop_percent": 5.0}, "BAD_OPTION", "medium_drop_percent"),
        ({"preview_drop_percent": float("nan")}, "BAD_OPTION", "preview_drop_percent"),
        ({"min_confidence": -0.1}, "BAD_OPTION", "min_confidence"),
        ({"write_glb": False, "write_tiles": False, "write_ply": False}, "BAD_OPTION", "glb"),
        ({"precompress": ("gzip",)}, "BAD_OPTION", "precompress"),
        ({"memory_points": 5}, "BAD_OPTION", "memory_points"),
    ],
)
def test_a_bad_option_is_refused_with_its_field(
    change: dict[str, Any], reason: str, field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        ExportOptions(**change)
    assert (caught.value.reason, caught.value.field) == (reason, field)


@pytest.mark.parametrize("change", [{"neighbors": 1}, {"std_ratio": 0.0}, {"neighbors": 100}])
def test_outlier_removal_is_bounded(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="outlier_removal"):
        OutlierRemoval(**change)


def test_the_message_tells_the_value_seen_and_the_value_wanted() -> None:
    with pytest.raises(InvalidInputError) as caught:
        ExportOptions(position_bits=40)
    assert str(caught.value) == "position_bits is 40; it must be a whole number from 8 to 16"


def test_options_survive_a_trip_through_json_values() -> None:
    options = ExportOptions(
        codec="draco", precompress=("zstd", "br"), outlier_removal=OutlierRemoval(8, 1.5)
    ).with_drop_preset()
    assert options_from_dict(options.to_dict()) == options
    assert options.preview_drop_percent == 20


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="'bits' does not exist"):
        options_from_dict({"bits": 14})
