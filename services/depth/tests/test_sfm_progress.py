"""Progress of structure from motion comes from two threads and still goes one way."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from epipar_depth.sfm_log import STAGES, Forward, watched


def test_a_late_line_of_the_log_does_not_bring_a_stage_back() -> None:
    heard: list[tuple[str, int, int]] = []
    forward = Forward(lambda *report: heard.append(report))
    reports = [("features", 1, 9), ("matching", 8, 9), ("mapping", 3, 9)]
    for report in [*reports, ("matching", 9, 9), ("features", 9, 9), ("mapping", 4, 9)]:
        forward(*report)
    assert heard == [*reports, ("mapping", 4, 9)]
    assert list(dict.fromkeys(stage for stage, _, _ in heard)) == list(STAGES)


def test_blocks_of_pairs_are_told_as_frames_when_they_begin(tmp_path: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    both = threading.Event()

    def hear(stage: str, done: int, total: int) -> None:
        heard.append((stage, done, total))
        if len(heard) == 3:
            both.set()

    with watched(tmp_path / "log", hear, 60):
        os.write(2, b"I2026 feature_extraction.cc:280] Processed file [7/60]\n")
        os.write(2, b"I2026 pairing.cc:938] Processing block [1/3]\n")
        os.write(2, b"I2026 pairing.cc:938] Processing block [3/3, 1/3]\n")
        assert both.wait(60)
    assert heard == [("features", 7, 60), ("matching", 0, 60), ("matching", 40, 60)]
