"""The working frame of a run: found once, kept in the work folder, set in the store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from epipar_inpaint.fusion.align import refine
from epipar_inpaint.fusion.alignment import Alignment, Tolerances
from epipar_inpaint.fusion.overlap import choose_sources, overlaps, sample_points
from epipar_inpaint.fusion.residuals import measure_gains, measure_tolerances
from epipar_inpaint.fusion.store import Layer, Store
from epipar_kit.events import Report

_MOST_SOURCES = 12
_ALL = "all"  # name of a layer that concerns all views


@dataclass(frozen=True, slots=True)
class WorkingFrame:
    """What the stages need to know beside the store.

    Attributes:
        sources: views that are asked, by view.
        tolerances: how far right values may be apart.
    """

    sources: list[list[int]]
    tolerances: Tolerances


def settle_frame(store: Store, report: Report) -> WorkingFrame:
    """Find the working frame, or read it if it has been found before, and set it in the store."""
    count = len(store)
    report("align", 0, count, "views")
    if not store.work.has("align", _ALL):
        store.work.save("align", _ALL, _found(store, report))
    kept = store.work.load("align", _ALL)
    store.align(Alignment(kept["poses"], kept["scales"], kept["gains"]))
    report("align", count, count, "views")
    return WorkingFrame(
        [[int(k) for k in row if k >= 0] for row in kept["sources"]],
        Tolerances(*(float(v) for v in kept["tolerances"])),
    )


def _found(store: Store, report: Report) -> Layer:
    count = len(store)
    cameras = [store.camera(k) for k in range(count)]
    points = []
    for k in range(count):
        points.append(sample_points(cameras[k], store.view(k).depth))
        report("align", k + 1, count, "views")
    sources = choose_sources(overlaps(cameras, points), cameras, _MOST_SOURCES)
    refined = refine(store, sources)
    store.align(Alignment(refined.poses, refined.scales, np.ones((count, 3))))
    gains = measure_gains(store, sources)
    store.align(Alignment(refined.poses, refined.scales, gains))
    found = measure_tolerances(store, sources)
    table = np.full((count, _MOST_SOURCES), -1, np.int64)
    for k, chosen in enumerate(sources):
        table[k, : len(chosen)] = chosen
    return {
        "poses": refined.poses,
        "scales": refined.scales,
        "gains": gains,
        "sources": table,
        "tolerances": np.array([found.depth, found.color, found.plane]),
    }
