"""Measure the gateway's calls and streams, directly and through Envoy, in one run.

``python -m benchmarks.gateway [--write] [--watchers N]``: prints tables; --write keeps them in
results.md. Everything runs on this machine: the client shares its cores with what it measures.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import grpc
import psutil
import sqlalchemy as sa

from benchmarks.gateway.processes import program
from benchmarks.gateway.watchers import OPTIONS, Ticks, watch, watch_over, watch_web
from epipar.common.v1 import artifact_pb2
from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc
from epipar_gateway.database import Database
from epipar_gateway.ids import new_job_id, now_us
from epipar_gateway.job_state import new_job
from epipar_gateway.tables import job_events, jobs
from epipar_gateway.uploads.book import UploadBook
from epipar_gateway.uploads.metadata import UploadMetadata

HERE = Path(__file__).resolve().parent
EVENTS, PERIOD_S = 150, 0.1
UNARY_CALLS = 1500
ROUNDS = 3
SMALL_EVENTS, LARGE_EVENTS = 5_000, 1_000
LARGE_ARTIFACTS = 400  # of a Job message of some 60 kB
GOAL_MS = 150
VIDEO = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0" * 64


def main() -> None:
    """Run everything and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", action="store_true", help="keep the tables in results.md")
    parser.add_argument("--watchers", type=int, default=200, help="concurrent watchers of one job")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as programs:
        store = Path(folder) / "store"
        store.mkdir()
        bench = Bench(store, programs)
        text = asyncio.run(bench.run(options.watchers))
    print(text)
    if options.write:
        (HERE / "results.md").write_text(text + "\n", encoding="utf-8")


class Bench:
    """A ticking service, a gateway and Envoy, and what is measured of them."""

    def __init__(self, store: Path, programs: ExitStack) -> None:
        self._store = store
        self._database_url = f"sqlite:///{store.parent}/gateway.sqlite"
        ticker = programs.enter_context(
            program("benchmarks.gateway.ticker", str(store), str(EVENTS), str(PERIOD_S))
        )
        gateway = programs.enter_context(program("epipar_gateway", settings={
            "EPIPAR_STORE_URL": store.as_uri(),
            "EPIPAR_GATEWAY_PORT": 0,
            "EPIPAR_GATEWAY_HTTP_PORT": 0,
            "EPIPAR_GATEWAY_DATABASE_URL": self._database_url,
            "EPIPAR_GATEWAY_DEPTH_ADDRESS": ticker["address"],
            "EPIPAR_GATEWAY_EXPORT_ADDRESS": ticker["address"],
            "EPIPAR_GATEWAY_LOG_LEVEL": "warning",
        }))  # fmt: skip
        envoy = programs.enter_context(program("epipar_envoy", settings={
            "EPIPAR_ENVOY_PORT": 0,
            "EPIPAR_ENVOY_GATEWAY_ADDRESS": gateway["address"],
            "EPIPAR_ENVOY_GATEWAY_HTTP_ADDRESS": gateway["http_address"],
        }))  # fmt: skip
        self._process = psutil.Process(gateway["pid"])
        self._addresses = {"direct": gateway["address"], "Envoy": envoy["address"]}

    async def run(self, watchers: int) -> str:
        """Measure everything; return the tables."""
        tables = [await self._unary(), await self._streams(), await self._ticks()]
        tables.append(await self._crowd(watchers))
        return "\n\n".join(tables)

    async def _unary(self) -> str:
        job = await self._start()
        spent: dict[str, list[float]] = {name: [] for name in self._addresses}
        for _ in range(ROUNDS):
            for name, address in self._addresses.items():
                spent[name] += await _call_often(address, job, UNARY_CALLS // ROUNDS)
        rows = [
            f"| {name} | {median(values):.2f} | {_p99(values):.2f} |"
            for name, values in spent.items()
        ]
        head = "| GetJob, one after the other | p50 ms | p99 ms |\n|---|--:|--:|"
        return "\n".join([head, *rows])

    async def _streams(self) -> str:
        rows = []
        for title, count, artifacts in (
            ("small events", SMALL_EVENTS, 0),
            ("events of a large job", LARGE_EVENTS, LARGE_ARTIFACTS),
        ):
            job, size = await asyncio.to_thread(self._store_events, count, artifacts)
            for name, address in self._addresses.items():
                seconds = min([await _replay(address, job, count) for _ in range(ROUNDS)])
                rows.append(
                    f"| {title}, {size / count:.0f} B | {name} | {count / seconds:.0f} "
                    f"| {size / seconds / 1e6:.1f} |"
                )
        head = "| replay of one job by one watcher | | events/s | MB/s |\n|---|---|--:|--:|"
        return "\n".join([head, *rows])

    async def _ticks(self) -> str:
        job = await self._start()
        ways = {
            "gRPC, direct": watch(self._addresses["direct"], job),
            "gRPC, Envoy": watch(self._addresses["Envoy"], job),
            "gRPC-Web, Envoy": watch_web(self._addresses["Envoy"], job),
        }
        found = await asyncio.gather(*ways.values())
        rows = [
            f"| {name} | {len(ticks)} | {median(ticks.values()):.1f} "
            f"| {_p99(list(ticks.values())):.1f} |"
            for name, ticks in zip(ways, found, strict=True)
        ]
        head = (
            f"| engine event to watcher (goal: p50 ≤ {GOAL_MS} ms) | events | p50 ms | p99 ms |\n"
            "|---|--:|--:|--:|"
        )
        return "\n".join([head, *rows])

    async def _crowd(self, watchers: int) -> str:
        rows = []
        for name, address in self._addresses.items():
            before = self._process.memory_info().rss
            cpu_s = sum(self._process.cpu_times()[:2])
            job = await self._start()
            async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
                watching = [asyncio.create_task(watch_over(channel, job)) for _ in range(watchers)]
                await asyncio.sleep(EVENTS * PERIOD_S / 2)
                during = self._process.memory_info().rss
                found: list[Ticks] = await asyncio.gather(*watching)
            cpu_s = sum(self._process.cpu_times()[:2]) - cpu_s
            each = [value for ticks in found for value in ticks.values()]
            last = [max(ticks[at] for ticks in found) for at in found[0]]
            rows.append(
                f"| {name} | {median(each):.1f} | {_p99(each):.1f} | {median(last):.1f} "
                f"| {max(last):.1f} | {before / 2**20:.0f} | {during / 2**20:.0f} | {cpu_s:.1f} |"
            )
            if any(ticks.keys() != found[0].keys() for ticks in found):
                raise RuntimeError("two watchers saw different events")
        head = (
            f"| {watchers} watchers of one job, {EVENTS} events at {1 / PERIOD_S:.0f} Hz "
            "| each p50 ms | each p99 ms | all of them p50 ms | worst ms "
            "| gateway MiB before | with them | gateway CPU-s |\n"
            "|---|--:|--:|--:|--:|--:|--:|--:|"
        )
        return "\n".join([head, *rows])

    async def _start(self) -> str:
        """Start a job of the ticking service."""
        upload = await asyncio.to_thread(self._upload)
        async with grpc.aio.insecure_channel(self._addresses["direct"], options=OPTIONS) as channel:
            stub = pb_grpc.JobServiceStub(channel)
            request = pb.StartReconstructionRequest(upload=upload, priority=100)
            return (await stub.StartReconstruction(request)).job.name

    def _upload(self) -> str:
        book = UploadBook(self._store)
        status = book.create(len(VIDEO), UploadMetadata("clip.mp4", "", "", ""))
        upload_id = status.record.name.removeprefix("uploads/")
        receiving = book.open(upload_id)
        try:
            receiving.append(VIDEO)
            receiving.sync()
        finally:
            book.close(receiving)
        return book.seal(upload_id).name

    def _store_events(self, count: int, artifacts: int) -> tuple[str, int]:
        """Lay an ended job with so many events into the database; return its name and its bytes."""
        job_id = new_job_id()
        job = new_job(job_id, "bench", pb.Job.KIND_EXPORT, 50, ["export"], now_us())
        job.state, job.last_sequence = pb.Job.STATE_SUCCEEDED, count
        files = [
            artifact_pb2.Artifact(name=f"tile_{at}.glb", uri=f"x/{at}", sha256="0" * 64)
            for at in range(artifacts)
        ]
        job.artifacts.extend(files)
        running = pb.Job(name=job.name, state=pb.Job.STATE_RUNNING, artifacts=files)
        events = [pb.WatchJobResponse(sequence=at, job=running) for at in range(1, count)]
        events.append(pb.WatchJobResponse(sequence=count, job=job))
        payloads = [event.SerializeToString() for event in events]
        database = Database(self._database_url)
        row: dict[str, Any] = {
            "id": job_id,
            "scene": "bench",
            "kind": job.kind,
            "state": job.state,
            "priority": 50,
            "created_us": 0,
            "ended_us": now_us(),
            "output": job_id,
            "output_hash": "",
            "step": 1,
            "run": 0,
            "executor": "",
            "last_sequence": count,
            "message": job.SerializeToString(),
            "plan": b"",
        }
        rows = [
            {"job": job_id, "sequence": at + 1, "time_us": 0, "payload": payload}
            for at, payload in enumerate(payloads)
        ]
        database.write_now(lambda c: c.execute(sa.insert(jobs), row))
        database.write_now(lambda c: c.execute(sa.insert(job_events), rows))
        database.close()
        return job.name, sum(map(len, payloads))


async def _call_often(address: str, job: str, count: int) -> list[float]:
    spent = []
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        stub = pb_grpc.JobServiceStub(channel)
        request = pb.GetJobRequest(name=job)
        await stub.GetJob(request)
        for _ in range(count):
            start_s = time.perf_counter()
            await stub.GetJob(request)
            spent.append((time.perf_counter() - start_s) * 1e3)
    return spent


async def _replay(address: str, job: str, count: int) -> float:
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        stub = pb_grpc.JobServiceStub(channel)
        await stub.GetJob(pb.GetJobRequest(name=job))
        start_s = time.perf_counter()
        seen = 0
        async for _ in stub.WatchJob(pb.WatchJobRequest(name=job)):
            seen += 1
        if seen != count:
            raise RuntimeError(f"{seen} of {count} events came")
        return time.perf_counter() - start_s


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98]


if __name__ == "__main__":
    main()
