"""Progress of structure from motion comes from two threads and still goes one way."""

from __future__ import annotations

from epipar_depth.sfm_log import STAGES, Forward


def test_a_late_line_of_the_log_does_not_bring_a_stage_back() -> None:
    heard: list[tuple[str, int, int]] = []
    forward = Forward(lambda *report: heard.append(report))
    reports = [("features", 1, 9), ("matching", 8, 9), ("mapping", 3, 9)]
    for report in [*reports, ("matching", 9, 9), ("features", 9, 9), ("mapping", 4, 9)]:
        forward(*report)
    assert heard == [*reports, ("mapping", 4, 9)]
    assert list(dict.fromkeys(stage for stage, _, _ in heard)) == list(STAGES)
