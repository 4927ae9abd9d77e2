"""What is asked of the export beside what was measured, and the least time its bytes would take."""

from __future__ import annotations

from typing import Any

from benchmarks.bandwidth import Bandwidth

Facts = dict[str, Any]
ASKED_AT = 10_000_000
POINT_BYTES = 16
"""Of the input: three floats, three bytes of colour, one of confidence."""
HEADER = "| asked | wanted at most | measured | |\n|---|--:|--:|---|"


def asked_table(count: int, measured: dict[str, Facts], machine: Bandwidth) -> str:
    """Return the table where anything is asked of so many points, and the limit."""
    done = {name: facts for name, facts in measured.items() if "cpu_s" in facts}
    rows = _rows(done) if count == ASKED_AT else []
    lines = [
        f"| {name} | {wanted:{form}} | {value:{form}} | {'holds' if value <= wanted else '**missed**'} |"
        for name, wanted, value, form in rows
    ]
    table = ["Beside what is asked:\n", HEADER, *lines, ""] if lines else []
    return "\n".join([*table, _limit(count, done.get("epipar_tiles"), machine)])


def _rows(done: dict[str, Facts]) -> list[tuple[str, float, float, str]]:
    """Return (what, wanted, measured, format) of all that ran."""
    rows: list[tuple[str, float, float, str]] = []
    if tiles := done.get("epipar_tiles"):
        rows += [
            ("tiles, wall s", 3.0, tiles["wall_s"], ".2f"),
            ("tiles, peak MB", 600, tiles["peak_mb"], ".0f"),
            ("tiles, 14 bits, B/point with zstd", 4.0, tiles["bytes_zstd"] / ASKED_AT, ".2f"),
        ]
    if coarse := done.get("epipar_12_bits"):
        packed = coarse["bytes_zstd"] / ASKED_AT
        rows.append(("tiles, 12 bits, B/point with zstd", 3.0, packed, ".2f"))
    if every := done.get("epipar_all"):
        quality = every["quality"]
        rows += [
            ("tiles and three GLBs, wall s", 10.0, every["wall_s"], ".2f"),
            ("tiles and three GLBs, peak MB", 600, every["peak_mb"], ".0f"),
            ("preview, points", 100_000, every["levels"][0][1], ",.0f"),
            ("preview, bytes, confidence included", 600_000, every["levels"][0][2], ",.0f"),
            ("preview, NN CV", 0.15, quality["preview_cv"], ".2f"),
            ("preview, largest hole, median spacings", 2, quality["preview_hole_ratio"], ".2f"),
            ("medium, NN CV", 0.15, quality["cv"], ".2f"),
            ("medium, largest hole, median spacings", 2, quality["hole_ratio"], ".2f"),
        ]
    return rows


def _limit(count: int, tiles: Facts | None, machine: Bandwidth) -> str:
    if tiles is None:
        return ""
    read = count * POINT_BYTES
    written = tiles["bytes"] + tiles["confidence_bytes"]
    # Copying moves a byte in and a byte out, so a reader alone is at least as quick.
    reading_s, writing_s = read / max(machine.core, machine.cores), written / machine.disk
    return (
        f"Limit by bytes moved: {read / 1e6:.0f} MB of points read once from memory "
        f"({reading_s:.3f} s), {written / 1e6:.0f} MB of tiles written to disk ({writing_s:.3f} s)."
    )
