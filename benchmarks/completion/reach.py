"""What was asked of the engine beside what was measured: each number with "holds" or "missed"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.completion.cases import is_held_out
from benchmarks.completion.ceiling import BLUR, COPIES
from benchmarks.completion.rows import BASELINE, OURS, Row

HEAD = "| asked | case | wanted | measured | |\n|---|---|--:|--:|---|"
_TRUE_DEPTH = "-"

Wanted = Callable[[Row, Row], tuple[float, float]]
"""Returns what is wanted and what is measured, of Telea's row and ours."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One demand.

    Attributes:
        text: for the table.
        holes: the kind of holes it speaks of; "" = all.
        at_least: the measured value must not be below the wanted one; else not above it.
        wanted: both values.
        clean: it speaks of undisturbed input; None = of any.
    """

    text: str
    holes: str
    at_least: bool
    wanted: Wanted
    clean: bool | None = True


ASKED = (
    Asked("PSNR ≥ Telea + 10 dB", "blobs", True, lambda a, b: (a.score.psnr + 10, b.score.psnr)),
    Asked("AbsRel ≤ .012", "blobs", False, lambda _, b: (0.012, b.score.absrel)),
    Asked("agreement ≥ .98", "blobs", True, lambda _, b: (0.98, b.score.agreement)),
    Asked("PSNR ≥ Telea + 6 dB", "surface", True, lambda a, b: (a.score.psnr + 6, b.score.psnr)),
    Asked("AbsRel ≤ .015", "surface", False, lambda _, b: (0.015, b.score.absrel)),
    Asked("agreement ≥ .97", "surface", True, lambda _, b: (0.97, b.score.agreement)),
    Asked("F ≥ .85", "object", True, lambda _, b: (0.85, b.score.f_score)),
    Asked("AbsRel ≤ Telea", "object", False, lambda a, b: (a.score.absrel, b.score.absrel)),
    Asked("PSNR ≥ Telea + 4 dB", "removed", True, lambda a, b: (a.score.psnr + 4, b.score.psnr)),
    Asked(
        "AbsRel ≤ Telea / 5", "removed", False, lambda a, b: (a.score.absrel / 5, b.score.absrel)
    ),
    Asked("agreement ≥ .94", "removed", True, lambda _, b: (0.94, b.score.agreement)),
    Asked("within 2 % ≥ .88", "depth", True, lambda _, b: (0.88, b.score.within_2)),
    Asked("AbsRel ≤ Telea", "depth", False, lambda a, b: (a.score.absrel, b.score.absrel)),
    Asked("disturbed: PSNR ≥ Telea", "", True, lambda a, b: (a.score.psnr, b.score.psnr), False),
    Asked(
        "disturbed: AbsRel ≤ Telea", "", False, lambda a, b: (a.score.absrel, b.score.absrel), False
    ),
)
_SPEED = ("≤ 0.6 CPU-s a view at 480x360", 0.6)


def reach_tables(rows: list[Row]) -> str:
    """Return the tables of demands, scenes that no setting was chosen on apart."""
    held_out = [row for row in rows if is_held_out(row.scene)]
    seen = [row for row in rows if not is_held_out(row.scene)]
    parts = ["# What was asked", reach_table(seen)]
    if held_out:
        parts += [
            "# The same, of scenes of other seeds that no setting was chosen on",
            reach_table(held_out),
        ]
    return "\n\n".join(parts)


def reach_table(rows: list[Row]) -> str:
    """Return the table of demands; disturbed input is shown where it misses, and counted."""
    lines = [HEAD]
    for asked in ASKED:
        checked = list(_checked(asked, rows))
        shown = checked if asked.clean else [line for line, holds in checked if not holds]
        if asked.clean:
            lines += [line for line, _ in checked]
        elif checked:
            held = sum(holds for _, holds in checked)
            lines.append(
                f"| {asked.text} | {len(checked)} cases | all | {held} | {_verdict(held == len(checked))} |"
            )
            lines += [str(line) for line in shown]
    for row in rows:
        if row.method == OURS and "480x360" in row.scene:
            holds = row.cpu_s <= _SPEED[1]
            lines.append(
                f"| {_SPEED[0]} | {row.scene} {row.holes} | 0.60 | {row.cpu_s:.2f} | {_verdict(holds)} |"
            )
    return "\n".join(lines)


def _checked(asked: Asked, rows: list[Row]) -> Iterator[tuple[str, bool]]:
    by_method = {(row.case, row.method): row for row in rows}
    for ours in (row for row in rows if row.method == OURS):
        theirs = by_method.get((ours.case, BASELINE))
        if theirs is None or asked.holes not in {"", ours.holes}:
            continue
        if (ours.disturbance == _TRUE_DEPTH) != asked.clean:
            continue
        wanted, measured = asked.wanted(theirs, ours)
        if np.isnan(wanted) or np.isnan(measured):
            continue
        # Judged is what is printed.
        digits = 1 if "dB" in asked.text or "PSNR" in asked.text else 4
        wanted, measured = round(wanted, digits), round(measured, digits)
        holds = measured >= wanted if asked.at_least else measured <= wanted
        case = " · ".join(part for part in ours.case if part != "-")
        note = "" if holds or "PSNR" not in asked.text else _bounds(ours, by_method)
        figures = f"{wanted:.{digits}f} | {measured:.{digits}f}"
        yield f"| {asked.text} | {case} | {figures} | {_verdict(holds)}{note} |", holds


def _bounds(ours: Row, by_method: dict[tuple[tuple[str, str, str], str], Row]) -> str:
    """Return what oracles that know the truth reach, where they were asked."""
    copies, blur = (by_method.get((ours.case, name)) for name in (COPIES, BLUR))
    if copies is None or blur is None:
        return ""
    return (
        f"; told the truth, the best copies of patches reach {copies.score.psnr:.1f}, "
        f"a blur as wide as the hole {blur.score.psnr:.1f}"
    )


def _verdict(holds: bool) -> str:
    return "holds" if holds else "**missed**"
