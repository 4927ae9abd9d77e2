"""The model of docs/operate/sizing.md: its queues are right, its tables are those of the documents."""

from __future__ import annotations

import heapq
import random
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.k8s.worlds import world
from tools.k8s_check.rendered import amount
from tools.sizing.__main__ import BLOCK, DOCS, main, refreshed
from tools.sizing.inputs import Demand, measured_scene
from tools.sizing.model import DEPTH, EXPORT, FUSION, SLOT, plan
from tools.sizing.overlays import Prices, held_by_overlays
from tools.sizing.queueing import MOST_BUSY, Pool, erlang_c, pool_for


def simulated_mean_wait_h(pool: Pool, *, is_steady: bool, count: int = 200_000) -> float:
    """Let work arrive and be served, one piece after the other; return the mean wait."""
    draw = random.Random(7)
    free_at = [0.0] * pool.servers
    now = waited = 0.0
    for _ in range(count):
        now += draw.expovariate(pool.arrivals_per_h)
        begins = max(now, heapq.heappop(free_at))
        waited += begins - now
        takes = pool.service_h if is_steady else draw.expovariate(1 / pool.service_h)
        heapq.heappush(free_at, begins + takes)
    return waited / count


def test_the_probability_of_waiting_is_that_of_the_textbook():
    assert erlang_c(0.7, 1) == pytest.approx(0.7)
    assert erlang_c(1.0, 2) == pytest.approx(1 / 3)
    assert erlang_c(4.0, 5) == pytest.approx(0.5541, abs=1e-4)
    assert erlang_c(5.0, 5) == 1.0
    assert 0 < erlang_c(9_000.0, 9_300) < 1  # no factorial overflows


@pytest.mark.parametrize(("arrivals_per_h", "servers"), [(1.5, 1), (6.0, 4), (17.0, 10)])
def test_a_simulation_waits_as_long_and_steady_work_less(arrivals_per_h: float, servers: int):
    pool = Pool(arrivals_per_h, 0.5, servers)
    assert simulated_mean_wait_h(pool, is_steady=False) == pytest.approx(pool.mean_wait_h, rel=0.1)
    assert simulated_mean_wait_h(pool, is_steady=True) < pool.mean_wait_h


def test_a_pool_is_the_smallest_that_keeps_the_wait():
    pool = pool_for(100.0, 0.5, 1 / 6)
    assert pool.wait_h(0.95) <= 1 / 6
    assert pool.utilisation <= MOST_BUSY
    fewer = replace(pool, servers=pool.servers - 1)
    assert fewer.utilisation > MOST_BUSY or fewer.wait_h(0.95) > 1 / 6
    assert pool_for(0.0, 0.5, 0.0).servers == 1


def test_more_scenes_never_need_less():
    scene = measured_scene("sample")
    for depth, completion in (("mvs", "fusion"), ("da3", "nerfiller")):
        plans = [
            plan(Demand(n, depth, completion), scene) for n in (1, 10, 100, 1_000, 10_000, 100_000)
        ]
        for less, more in pairwise(plans):
            assert less.gpus <= more.gpus
            assert less.nodes <= more.nodes
            assert less.kept_gb < more.kept_gb
            assert less.database_gb < more.database_gb


def test_a_scene_of_twice_the_frames_costs_twice_but_for_what_has_one_size():
    scene = measured_scene("sample")
    twice = scene.scaled(2 * scene.frames, scene.pixels / 1e6)
    assert twice.reconstruction_cpu_s["depth"] == pytest.approx(
        2 * scene.reconstruction_cpu_s["depth"]
    )
    assert twice.scene_bytes["depth"] == pytest.approx(2 * scene.scene_bytes["depth"])
    assert twice.job_bytes == scene.job_bytes


@pytest.mark.parametrize(
    ("name", "work"), [("depth", DEPTH), ("export", EXPORT), ("inpaint", FUSION)]
)
def test_a_slot_is_what_the_manifests_give_it(name: str, work: str):
    rendered = world("cpu")
    pod = next(c for c in rendered.containers() if c.spec["name"] == name)
    streams = int(rendered.environment(pod)[f"EPIPAR_{name.upper()}_MAX_STREAMS"])
    asked = pod.spec["resources"]["requests"]
    cores, gib = amount(asked["cpu"]) / streams, amount(asked["memory"]) / 1024**3 / streams
    assert SLOT[work] == (cores, gib)


def test_prices_are_the_operators_and_add_up():
    held = held_by_overlays(Demand(100), measured_scene("sample"))
    assert {one.month(Prices()) for one in held} == {0.0}
    gpu = next(one for one in held if one.overlay == "gpu")
    assert gpu.month(Prices(gpu_hour=2)) == pytest.approx(gpu.gpu_h * 30 * 2)
    assert gpu.month(Prices(2, 1, 1, 1)) > gpu.month(Prices(2, 1, 1))
    by_name = {one.overlay: one.gpu_h for one in held}
    assert by_name["cpu"] == by_name["keda"] == 0
    assert by_name["gpu, its nodes come and go"] < by_name["kueue"] <= by_name["gpu"]


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_the_tables_of_a_document_are_what_the_tool_prints(path):
    text = path.read_text()
    assert refreshed(text) == text, "python -m tools.sizing --write-docs"


def test_the_three_sizes_are_in_the_document():
    commands = [match["arguments"] for match in BLOCK.finditer((DOCS / "sizing.md").read_text())]
    for per_day in ("1", "100", "10000"):
        assert any(re.search(rf"--scenes-per-day {per_day}( |$)", text) for text in commands)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scenes-per-day", "0"], "scenes_per_day is 0"),
        (["--clip", "moon"], "measured were"),
        (["--completed-share", "2"], "completed_share is 2"),
        (["--gpu-hour", "-1"], "gpu_hour is -1"),
    ],
)
def test_what_cannot_be_is_refused_by_name(arguments, told, capsys):
    assert main(arguments) == 2
    assert told in capsys.readouterr().err


def test_a_price_prints_costs_and_the_help_says_what_is_assumed(capsys):
    assert main(["--gpu-hour", "2"]) == 0
    assert "cost a month" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out.count("ASSUMED") == 3
