"""request_id: a repeat is answered with the first job, whatever happens in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import scene_service_pb2 as scene_pb
from epipar_gateway.database import Database
from epipar_gateway.request_ids import RequestKey, answered_before, forget, remember

from .suite import Suite, all_of
from .test_jobs import refusal


async def test_a_repeat_returns_the_first_job_and_starts_nothing(suite: Suite) -> None:
    upload = suite.upload()
    first = await suite.start(upload=upload, request_id="r-1")
    done = await suite.ended(first)
    assert await suite.start(upload=upload, request_id="r-1") == done
    assert suite.fake.names() == ["Predict", "Export"]
    # The upload need not be there any more for a repeat.
    suite.uploads.remove(upload)
    assert await suite.start(upload=upload, request_id="r-1") == done


async def test_many_repeats_at_once_make_one_job(suite: Suite) -> None:
    upload = suite.upload()
    jobs = await all_of(*(suite.start(upload=upload, request_id="same") for _ in range(20)))
    assert len({job.name for job in jobs}) == 1
    listed = await suite.jobs.ListJobs(pb.ListJobsRequest())
    assert len(listed.jobs) == 1


async def test_the_same_id_with_another_request_is_refused(suite: Suite) -> None:
    await suite.start(request_id="r-1")
    error = await refusal(suite.start(request_id="r-1"))  # another upload
    assert error.reason == "REQUEST_ID_REUSED"
    create = scene_pb.CreateSceneRequest(request_id="r-1")
    assert (await refusal(suite.scenes.CreateScene(create))).reason == "REQUEST_ID_REUSED"


async def test_without_an_id_every_request_is_new(suite: Suite) -> None:
    upload = suite.upload()
    assert (await suite.start(upload=upload)).name != (await suite.start(upload=upload)).name


async def test_a_scene_is_made_once_too(suite: Suite) -> None:
    request = scene_pb.CreateSceneRequest(display_name="Kitchen", request_id="c-1")
    scenes = await all_of(*(suite.scenes.CreateScene(request) for _ in range(5)))
    assert len({answer.scene.name for answer in scenes}) == 1


async def test_a_deleted_jobs_request_id_is_free_again(suite: Suite) -> None:
    upload = suite.upload()
    first = await suite.ended(await suite.start(upload=upload, request_id="r-1"))
    await suite.jobs.DeleteJob(pb.DeleteJobRequest(name=first.name))
    assert (await suite.start(upload=upload, request_id="r-1")).name != first.name


@pytest.mark.parametrize("request_id", ["x" * 65, "with space", "ü", "tab\t"])
async def test_an_id_out_of_its_bounds_is_refused(suite: Suite, request_id: str) -> None:
    error = await refusal(suite.start(request_id=request_id))
    assert (error.reason, error.field) == ("BAD_REQUEST", "request_id")


def test_dropping_a_request_whose_job_is_gone_leaves_one_that_came_meanwhile(
    tmp_path: Path,
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'gateway.sqlite'}")
    database.create()
    key = RequestKey("again", "0" * 64)
    database.write_now(lambda c: remember(c, key, "jobs/new"))
    database.write_now(lambda c: forget(c, key, "jobs/old"))
    assert database.read_now(lambda c: answered_before(c, key)) == "jobs/new"
    database.write_now(lambda c: forget(c, key, "jobs/new"))
    assert database.read_now(lambda c: answered_before(c, key)) is None
    database.close()
