"""Calling the service as a client does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar_kit.errors import EpiparError
from epipar_kit.wire import error_from_call

SCENE = "scenes/room"


async def events_of(call: Any) -> list[Any]:
    """Read a stream to its end; its result must come exactly once and last."""
    events = [event async for event in call]
    assert [event.WhichOneof("event") for event in events].count("result") == 1
    assert events[-1].WhichOneof("event") == "result"
    return events


async def result_of(call: Any) -> Any:
    """Return the result of a stream."""
    return (await events_of(call))[-1].result


async def result_when_free(call: Callable[[], Any]) -> Any:
    """Return the result of a call whose output a cancelled one may still hold for a moment."""
    while True:
        try:
            return await result_of(call())
        except grpc.aio.AioRpcError as error:
            if error_from_call(error).reason != "OUTPUT_BUSY":
                raise


async def refused(call: Any) -> EpiparError:
    """Return the error with which a stream ends."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for _ in call:
            pass
    return error_from_call(caught.value)


def fault_of(error: EpiparError) -> tuple[str, str]:
    """Return the reason and the field of an error; "" where it has none."""
    return error.reason, getattr(error, "field", "")


def sphere(center: Any, radius: float) -> pb.Region:
    """Return a ball as a region."""
    x, y, z = (float(value) for value in center)
    return pb.Region(sphere=pb.Sphere(center=pb.Point(x=x, y=y, z=z), radius=radius))


def stages_of(events: list[Any]) -> list[str]:
    """Return the stages of a stream in the order in which they began."""
    stages = [event.progress.stage for event in events if event.HasField("progress")]
    return list(dict.fromkeys(stages))
