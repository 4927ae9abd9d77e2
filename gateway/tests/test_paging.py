"""Lists come newest first in pages that fit together, whatever their size and filters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import scene_service_pb2 as scene_pb
from epipar_gateway.paging import page_from
from epipar_gateway.tables import scenes
from epipar_kit.errors import InvalidInputError

from .suite import Suite
from .test_jobs import refusal

ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.text("abc", min_size=1, max_size=3)),
    unique_by=lambda row: row[1],
    max_size=30,
)


def fetch(rows: list[tuple[int, str]]) -> Callable[..., list[Any]]:
    """Return a function that runs statements over a table of such rows."""
    engine = sa.create_engine("sqlite://")
    scenes.metadata.create_all(engine, [scenes])
    connection = engine.connect()
    for created_us, name in rows:
        connection.execute(
            sa.insert(scenes).values(
                id=name,
                display_name=name,
                folded_name=name,
                state=1,
                created_us=created_us,
                updated_us=0,
            )
        )
    return lambda statement: list(connection.execute(statement).all())


@settings(deadline=None)
@given(rows=ROWS, size=st.integers(1, 10))
def test_pages_of_any_size_make_up_the_whole_list_in_order(
    rows: list[tuple[int, str]], size: int
) -> None:
    run = fetch(rows)
    seen: list[tuple[int, str]] = []
    token = ""
    while True:
        page = page_from(size, token, ["all"])
        shown, token = page.cut(run(page.select(scenes)))
        seen += [(row.created_us, row.id) for row in shown]
        assert len(shown) <= size
        if not token:
            break
    assert seen == sorted(rows, reverse=True)


@given(text=st.text(max_size=40), size=st.integers(0, 1000))
def test_a_token_that_is_none_of_ours_is_refused(text: str, size: int) -> None:
    if not text:
        return
    with pytest.raises(InvalidInputError) as caught:
        page_from(size, text, ["all"])
    assert caught.value.field == "page_token"


@pytest.mark.parametrize("size", [-1, 1001])
async def test_a_page_size_out_of_its_bounds_is_refused(suite: Suite, size: int) -> None:
    error = await refusal(suite.jobs.ListJobs(pb.ListJobsRequest(page_size=size)))
    assert (error.reason, error.field) == ("BAD_REQUEST", "page_size")


async def test_jobs_are_listed_in_pages_and_filtered(suite: Suite) -> None:
    jobs = [await suite.start() for _ in range(5)]
    for job in jobs:
        await suite.ended(job)
    names, token = [], ""
    while True:
        request = pb.ListJobsRequest(page_size=2, page_token=token)
        answer = await suite.jobs.ListJobs(request)
        names += [job.name for job in answer.jobs]
        if not (token := answer.next_page_token):
            break
    assert names == [job.name for job in reversed(jobs)]
    of_scene = await suite.jobs.ListJobs(pb.ListJobsRequest(scene=jobs[2].scene))
    assert [job.name for job in of_scene.jobs] == [jobs[2].name]
    done = [pb.Job.STATE_SUCCEEDED]
    assert len((await suite.jobs.ListJobs(pb.ListJobsRequest(states=done))).jobs) == 5
    queued = pb.ListJobsRequest(states=[pb.Job.STATE_QUEUED, pb.Job.STATE_RUNNING])
    assert not (await suite.jobs.ListJobs(queued)).jobs
    exports = pb.ListJobsRequest(kinds=[pb.Job.KIND_EXPORT])
    assert not (await suite.jobs.ListJobs(exports)).jobs


async def test_a_token_belongs_to_its_filters(suite: Suite) -> None:
    for name in ("a", "b", "c"):
        await suite.scenes.CreateScene(scene_pb.CreateSceneRequest(display_name=name))
    answer = await suite.scenes.ListScenes(scene_pb.ListScenesRequest(page_size=1))
    other = scene_pb.ListScenesRequest(page_token=answer.next_page_token, query="a")
    error = await refusal(suite.scenes.ListScenes(other))
    assert (error.reason, error.field) == ("BAD_REQUEST", "page_token")


@pytest.mark.parametrize("states", [[0], [9]])
async def test_a_state_that_does_not_exist_is_refused(suite: Suite, states: list[int]) -> None:
    error = await refusal(suite.jobs.ListJobs(pb.ListJobsRequest(states=states)))  # type: ignore[arg-type]  # wrong on purpose
    assert (error.reason, error.field) == ("BAD_REQUEST", "states")
