"""Masks and completions by the inpaint service itself."""

from __future__ import annotations

import math

import pytest

from epipar.inpaint.v1 import inpaint_service_pb2 as inpaint_pb2
from epipar_client import (
    Box,
    CompleteOptions,
    EpiparClient,
    InvalidInputError,
    MaskOptions,
    NerfillerOptions,
    Sphere,
)

from .conftest import Suite


async def test_masks_tell_what_each_frame_lacks(client: EpiparClient, suite: Suite) -> None:
    options = MaskOptions(min_confidence=0.5, keep_sky=False)
    result = await client.mask_incomplete("scenes/a", "strict", options=options)
    assert result.mask_set_uri == "scenes/a/masks/strict"
    assert result.frames[0].depth_hole_share == 0.3
    sent = suite.inpaint.requests[0]
    assert {field.name for field, _ in sent.options.ListFields()} == {"min_confidence", "keep_sky"}


async def test_a_completion_tells_where_its_pixels_come_from(
    client: EpiparClient, suite: Suite
) -> None:
    events = [event async for event in client.complete("scenes/a", intent="complete")]
    assert events[-1] == await client.complete("scenes/a", intent="complete", masks="strict")
    assert getattr(events[-1], "filled", None) == {"reprojected": 700, "plane": 300}
    fresh, named = suite.inpaint.requests
    assert fresh.WhichOneof("masks") == "fresh"
    assert named.mask_set == "strict"
    assert fresh.intent == inpaint_pb2.INTENT_COMPLETE


async def test_settings_of_an_engine_travel(client: EpiparClient, suite: Suite) -> None:
    nerfiller = NerfillerOptions(views_per_update=8, depth_prior="smooth")
    options = CompleteOptions(painter="exemplar", nerfiller=nerfiller)
    await client.complete("scenes/a", intent="remove", engine="nerfiller", options=options)
    sent = suite.inpaint.requests[0].options
    assert (sent.painter, sent.nerfiller.views_per_update) == ("exemplar", 8)
    assert (sent.nerfiller.depth_prior, sent.nerfiller.HasField("dataset_update")) == (
        "smooth",
        False,
    )
    assert not sent.HasField("seed")


async def test_completion_engines_are_listed_apart(client: EpiparClient) -> None:
    (engine,) = await client.list_completion_engines()
    assert (engine.name, engine.painters) == ("fusion", ("exemplar",))


async def test_an_intent_that_does_not_exist_is_refused(client: EpiparClient) -> None:
    with pytest.raises(InvalidInputError, match="complete, remove"):
        client.complete("scenes/a", intent="fill")  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("high", [(1, 1, 0), (1, 1, -1), (1, 1, math.nan), (1, 1, math.inf)])
def test_a_box_without_a_volume_is_refused(high: tuple[float, float, float]) -> None:
    with pytest.raises(InvalidInputError, match="must be larger"):
        Box((0, 0, 0), high)


@pytest.mark.parametrize("radius", [0, -1, math.nan])
def test_a_sphere_without_a_volume_is_refused(radius: float) -> None:
    with pytest.raises(InvalidInputError, match="must be positive"):
        Sphere((0, 0, 0), radius)


def test_too_many_regions_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="at most 64"):
        MaskOptions(regions=(Sphere((0, 0, 0), 1),) * 65)
