"""make_output: one output, made once, whatever happens on the way."""

from __future__ import annotations

import os
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from epipar_kit.errors import (
    AlreadyExistsError,
    InvalidInputError,
    NotReadyError,
    StorageFullError,
)
from epipar_kit.output import FinishedEvent, OutputPlan, make_output
from epipar_kit.store import FolderStore

ENV = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
PARTS = ["part_0", "part_1", "part_2"]


def plan(content_hash: str = "a", **request: Any) -> OutputPlan:
    def make_request(folder: Path) -> dict[str, Any]:
        return {"folder": str(folder), "content_hash": content_hash, **request}

    return OutputPlan("out/it", "manifest.json", content_hash, "output_job", make_request, ENV)


async def finished(store: FolderStore, wanted: OutputPlan) -> FinishedEvent:
    events = [event async for event in make_output(store, wanted)]
    last = events[-1]
    assert isinstance(last, FinishedEvent)
    assert sum(isinstance(event, FinishedEvent) for event in events) == 1
    return last


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def names(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "out").iterdir())


async def test_an_output_is_made_and_then_found(store: FolderStore, tmp_path: Path) -> None:
    first = await finished(store, plan())
    again = await finished(store, plan())
    assert (first.cached, first.result) == (False, {"found": []})
    assert (again.cached, again.result) == (True, {})
    assert first.manifest == again.manifest == {"content_hash": "a", "parts": 3}
    assert names(tmp_path) == ["it"]


async def test_an_output_with_another_hash_is_left_alone(store: FolderStore) -> None:
    await finished(store, plan())
    with pytest.raises(AlreadyExistsError) as raised:
        await finished(store, plan("b"))
    assert raised.value.reason == "OUTPUT_EXISTS"
    assert (await finished(store, plan())).cached


async def test_a_closed_call_leaves_nothing_under_the_name_and_its_repeat_goes_on(
    store: FolderStore, tmp_path: Path
) -> None:
    async with aclosing(make_output(store, plan(stop_after=1, how="hang"))) as events:
        async for event in events:
            assert not isinstance(event, FinishedEvent)
            if event.done == 2:
                break
    assert names(tmp_path) == [".it.epipar"]
    assert (await finished(store, plan())).result == {"found": PARTS[:2]}
    assert names(tmp_path) == ["it"]


async def test_unfinished_work_of_another_hash_is_not_gone_on_from(store: FolderStore) -> None:
    with pytest.raises(StorageFullError):
        await finished(store, plan("a", stop_after=1, how="full"))
    assert (await finished(store, plan("b"))).result == {"found": []}


async def test_after_a_full_disk_the_repeat_goes_on(store: FolderStore, tmp_path: Path) -> None:
    with pytest.raises(StorageFullError):
        await finished(store, plan(stop_after=0, how="full"))
    assert names(tmp_path) == [".it.epipar"]
    assert (await finished(store, plan())).result == {"found": PARTS[:1]}


async def test_refused_input_leaves_nothing_at_all(store: FolderStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError):
        await finished(store, plan(stop_after=1, how="refuse"))
    assert names(tmp_path) == []


async def test_two_calls_never_write_one_output(store: FolderStore) -> None:
    async with aclosing(make_output(store, plan(stop_after=0, how="hang"))) as events:
        await anext(events)
        with pytest.raises(NotReadyError) as raised:
            await finished(store, plan())
    assert raised.value.reason == "OUTPUT_BUSY"
    assert not (await finished(store, plan())).cached
