"""What export.json says about the grid, the tiles and the attributes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from epipar_export.morton import bounds_of_codes
from epipar_export.options import ExportOptions
from epipar_export.order import OrderedPoints
from epipar_export.tiles import TilesResult


def grid_facts(ordered: OrderedPoints) -> dict[str, Any]:
    """Say where the grid lies and what of it the points take."""
    places = ordered.grid.positions(bounds_of_codes(ordered.keys))
    return {
        "axes": "glTF: x right, y up, z backward",
        "bits": ordered.grid.bits,
        "origin": list(ordered.grid.origin),
        "step": ordered.grid.step,
        "bounding_box": {"min": places[0].tolist(), "max": places[1].tolist()},
    }


def tiles_facts(tiles: TilesResult) -> dict[str, Any]:
    """Say what was written under tiles/, without its list of files."""
    facts = asdict(tiles)
    del facts["files"]
    return facts


def attribute_facts(ordered: OrderedPoints, options: ExportOptions) -> dict[str, str]:
    """Say what the attributes of the GLBs hold, and how exactly."""
    error = 0 if options.codec == "none" else options.color_tolerance
    facts = {
        "POSITION": "grid coordinates, exact; the node's scale and translation place them",
        "COLOR_0": f"linear, 16 bits; at most {error} of 255 steps from the source after sRGB",
        "_CONFIDENCE": "uint8 normalized, exact",
    }
    if ordered.has_provenance:
        facts["_PROVENANCE"] = "uint8, exact: 0 = observed"
    return facts
