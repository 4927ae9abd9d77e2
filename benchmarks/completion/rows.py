"""Measured figures by case and method, and the table they stand in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.completion.score import Score

OURS = "**fusion**"
BASELINE = "Telea"
_DIGITS = {"psnr": 1, "ssim": 3, "absrel": 4, "within_2": 3, "agreement": 3, "f_score": 3}
HEAD = (
    "| scene | holes | disturbed by | method | PSNR dB | SSIM | AbsRel | within 2 % | agreement "
    "| F 3 cm | CPU-s a view |\n|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one case.

    Attributes:
        scene: name of the scene kind.
        holes: kind of holes.
        disturbance: what the reconstruction got wrong; "-" for nothing.
        method: by whom.
        score: its figures.
        cpu_s: CPU-seconds a view.
    """

    scene: str
    holes: str
    disturbance: str
    method: str
    score: Score
    cpu_s: float

    @property
    def case(self) -> tuple[str, str, str]:
        """What was completed."""
        return self.scene, self.holes, self.disturbance

    def text(self) -> str:
        """Return it as a line of the table."""
        figures = [_shown(getattr(self.score, name), n) for name, n in _DIGITS.items()]
        cells = [*self.case, self.method, *figures, _shown(self.cpu_s, 2)]
        return f"| {' | '.join(cells)} |"

    @classmethod
    def of_text(cls, line: str) -> Row:
        """Read what text() wrote."""
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        values = [np.nan if cell == "-" else float(cell) for cell in cells[4:]]
        figures = dict(zip(_DIGITS, values[:-1], strict=True))
        scene, holes, disturbance, method = cells[:4]
        return cls(scene, holes, disturbance, method, Score(**figures), values[-1])


def merged(kept: list[Row], fresh: list[Row]) -> list[Row]:
    """Return kept rows with those of the same case and method replaced, and new ones added."""
    table = {(row.case, row.method): row for row in kept}
    table.update({(row.case, row.method): row for row in fresh})
    return list(table.values())


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a table that was kept; none if there is no file."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(
        (i for i, line in enumerate(lines) if line.startswith("| scene | holes")), len(lines)
    )
    return [Row.of_text(line) for line in lines[start + 2 :] if line.startswith("|")]


def table(rows: list[Row]) -> str:
    """Return all rows as a table."""
    return "\n".join([HEAD, *(row.text() for row in rows)])


def _shown(value: float, digits: int) -> str:
    return "-" if np.isnan(value) else f"{value:.{digits}f}"
