"""A depth and export service that does nothing but tell the time: each progress says when it left.

``python -m benchmarks.gateway.ticker STORE EVENTS PERIOD_S`` prints one ready line.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from epipar.common.v1 import progress_pb2
from epipar.depth.v1 import depth_service_pb2 as depth_pb
from epipar.depth.v1 import depth_service_pb2_grpc as depth_grpc
from epipar.export.v1 import export_service_pb2 as export_pb
from epipar.export.v1 import export_service_pb2_grpc as export_grpc


class Depth(depth_grpc.DepthServiceServicer):
    """Reports so many times, so far apart."""

    def __init__(self, store: Path, events: int, period_s: float) -> None:
        self._store, self._events, self._period_s = store, events, period_s

    async def Predict(  # noqa: N802 (gRPC name)
        self, request: depth_pb.PredictRequest, context: Any
    ) -> AsyncIterator[depth_pb.PredictResponse]:
        """Tell the time, then finish."""
        for done in range(self._events):
            await asyncio.sleep(self._period_s)
            told = progress_pb2.Progress(
                stage="ticking",
                done=done + 1,
                total=self._events,
                unit="ticks",
                message=str(time.time_ns()),
            )
            yield depth_pb.PredictResponse(progress=told)
        folder = self._store / request.output_uri
        folder.mkdir(parents=True)
        (folder / "scene.json").write_text("{}")
        yield depth_pb.PredictResponse(result=depth_pb.PredictResult(scene_uri=request.output_uri))

    async def ListEngines(  # noqa: N802 (gRPC name)
        self, request: depth_pb.ListEnginesRequest, context: Any
    ) -> depth_pb.ListEnginesResponse:
        """Pass for the default engine."""
        engines = [depth_pb.Engine(name="mvs", available=True)]
        return depth_pb.ListEnginesResponse(engines=engines)


class Export(export_grpc.ExportServiceServicer):
    """Finishes at once."""

    async def Export(  # noqa: N802 (gRPC name)
        self, request: export_pb.ExportRequest, context: Any
    ) -> AsyncIterator[export_pb.ExportResponse]:
        """Finish."""
        yield export_pb.ExportResponse(result=export_pb.ExportResult())


async def main() -> None:
    """Serve until killed."""
    store, events, period_s = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    server = grpc.aio.server()
    depth_grpc.add_DepthServiceServicer_to_server(Depth(store, events, period_s), server)
    export_grpc.add_ExportServiceServicer_to_server(Export(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ready = {"event": "ready", "address": f"127.0.0.1:{port}", "pid": os.getpid()}
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
