"""Whose turn it is and what fits: the laws of the model host that need no model."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epipar_depth.da3.registry import ModelSpec
from epipar_depth.da3.residents import DeviceFullError, MemoryBounds, Residents
from epipar_depth.da3.scheduler import JobQueue, Scheduler
from epipar_depth.da3.wire import ConnectionEndedError, Message, receive, send
from epipar_kit.errors import LimitExceededError

SIDE = (378, 504)


def _spec(name: str, base: int = 100, image: int = 10) -> ModelSpec:
    return ModelSpec(name, "", name, "MIT", "", base_mib=base, image_mib=image)


class _Network:
    def predict(
        self,
        arrays: dict[str, npt.NDArray[Any]],
        *,
        dtype: str,
        seed: int,
        check: Callable[[], None],
    ) -> tuple[dict[str, npt.NDArray[Any]], bool]:
        return arrays, False


class _Device:
    """A device with so much memory, of which loaded models take their base."""

    name = "test"

    def __init__(self, total: int) -> None:
        self.total = total
        self.loads: list[str] = []
        self.held: dict[int, int] = {}
        self._residents: Residents | None = None

    def watch(self, residents: Residents) -> Residents:
        self._residents = residents
        return residents

    def free_mib(self) -> int:
        loaded = self._residents._loaded.values() if self._residents else ()
        return self.total - sum(spec.base_mib for spec, _ in loaded)

    def load(self, spec: ModelSpec) -> _Network:
        self.loads.append(spec.name)
        return _Network()

    def release(self) -> None:
        """Nothing is kept."""


def _residents(total: int, **bounds: int) -> tuple[Residents, _Device]:
    device = _Device(total)
    return device.watch(Residents(device, MemoryBounds(**bounds))), device


def _orders(scheduler: Scheduler, chunks: dict[str, int]) -> list[str]:
    order: list[str] = []

    def work(name: str) -> Callable[[JobQueue], None]:
        return lambda _: order.append(name)

    for name, count in chunks.items():
        job = JobQueue()
        for _ in range(count):
            scheduler.submit(job, work(name))
    return order


def test_jobs_take_turns_chunk_by_chunk() -> None:
    scheduler = Scheduler()
    order = _orders(scheduler, {"a": 4, "b": 2, "c": 1})
    _run_all(scheduler)
    assert "".join(order) == "abcabaa"


def test_a_closed_host_runs_no_more() -> None:
    scheduler = Scheduler()
    order = _orders(scheduler, {"a": 3})
    scheduler.submit(JobQueue(), lambda _: scheduler.close())
    order_after = _orders(scheduler, {"b": 1})
    scheduler.run()
    assert order == ["a"]
    assert order_after == []


def _run_all(scheduler: Scheduler) -> None:
    while scheduler.waiting:
        taken = scheduler._take()
        assert taken is not None
        taken[1](taken[0])


def test_a_cancelled_job_has_no_more_turns() -> None:
    scheduler = Scheduler()
    order: list[str] = []
    kept, gone = JobQueue(), JobQueue()
    scheduler.submit(gone, lambda _: order.append("gone"))
    scheduler.submit(kept, lambda _: order.append("kept"))
    scheduler.submit(gone, lambda _: order.append("gone"))
    scheduler.cancel(gone)
    scheduler.submit(gone, lambda _: order.append("late"))
    _run_all(scheduler)
    assert order == ["kept"]
    assert gone.is_cancelled.is_set()


def test_the_least_recently_used_model_makes_room() -> None:
    residents, device = _residents(10_000, max_models=2)
    for name in ("a", "b", "a", "c"):
        residents.load(_spec(name))
    assert residents.names == ["a", "c"]
    assert device.loads == ["a", "b", "c"]


def test_a_model_that_is_larger_than_the_rest_drops_it() -> None:
    residents, _ = _residents(1000, max_models=8)
    residents.load(_spec("a", 300))
    residents.load(_spec("b", 300))
    residents.load(_spec("c", 600))
    assert residents.names == ["b", "c"]


@given(
    total=st.integers(0, 5000),
    base=st.integers(1, 3000),
    image=st.integers(1, 500),
    images=st.integers(1, 200),
    limit=st.integers(0, 5000),
)
def test_what_is_admitted_fits_and_what_is_refused_does_not(
    total: int, base: int, image: int, images: int, limit: int
) -> None:
    residents, _ = _residents(total, memory_mib=limit)
    spec = _spec("a", base, image)
    room = min(total, limit) if limit else total
    if base + image * images <= room:
        residents.admit(spec, images, *SIDE)
    elif base + image <= room:
        with pytest.raises(DeviceFullError) as full:
            residents.admit(spec, images, *SIDE)
        fits = full.value.fits
        assert base + image * fits <= room < base + image * (fits + 1)
    else:
        with pytest.raises(LimitExceededError) as refused:
            residents.admit(spec, images, *SIDE)
        assert refused.value.reason == "OUT_OF_MEMORY"


def test_larger_pictures_take_more_memory() -> None:
    residents, _ = _residents(1000)
    spec = _spec("a", 100, 100)
    assert residents.fitting_images(spec, 378, 504) == 9
    assert residents.fitting_images(spec, 756, 504) == 4


def test_another_model_is_dropped_before_a_pass_is_refused() -> None:
    residents, _ = _residents(1000, max_models=2)
    residents.load(_spec("idle", 500))
    residents.admit(_spec("a", 300, 100), 7, *SIDE)
    assert residents.names == ["a"]


def test_running_out_of_memory_asks_for_half() -> None:
    residents, _ = _residents(1000)
    assert residents.recover(9).fits == 4


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, socket.socket]]:
    pair = socket.socketpair()
    yield pair
    for end in pair:
        end.close()


def test_messages_arrive_as_they_were(wire: tuple[socket.socket, socket.socket]) -> None:
    arrays: dict[str, npt.NDArray[Any]] = {
        "images": np.arange(4 * 3 * 2 * 3, dtype=np.uint8).reshape(4, 3, 2, 3)[:, ::-1],
        "depth": np.linspace(0, 1, 200_000, dtype=np.float32).reshape(2, -1),
        "sky": np.array([[True, False]]),
        "none": np.zeros((0, 4, 4)),
    }
    sender = threading.Thread(target=send, args=(wire[0], Message({"op": "x", "n": 1}, arrays)))
    sender.start()
    got = receive(wire[1])
    sender.join()
    assert got.header == {"op": "x", "n": 1}
    assert list(got.arrays) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(got.arrays[name], array)
        assert got.arrays[name].dtype == array.dtype


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",  # a header of 4 GB
        b"\x00\x00\x00\x05ab",  # it ends in the middle
        b"",
    ],
)
def test_what_is_no_message_ends_the_connection(
    wire: tuple[socket.socket, socket.socket], data: bytes
) -> None:
    wire[0].sendall(data)
    wire[0].shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionEndedError):
        receive(wire[1])


def test_arrays_beyond_bounds_are_refused(wire: tuple[socket.socket, socket.socket]) -> None:
    for listing in (
        '["a", "object", [1]]',
        '["a", "uint8", [-1]]',
        '["a", "uint8", [99999999999]]',
    ):
        header = f'{{"arrays": [{listing}]}}'.encode()
        wire[0].sendall(len(header).to_bytes(4, "big") + header)
        with pytest.raises(ConnectionEndedError):
            receive(wire[1])


def test_a_wait_can_be_given_up(wire: tuple[socket.socket, socket.socket]) -> None:
    class _EnoughError(Exception):
        pass

    def enough() -> None:
        raise _EnoughError

    with pytest.raises(_EnoughError):
        receive(wire[1], enough)
