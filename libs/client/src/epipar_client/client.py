"""The client: one object for a whole suite."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from epipar_client.channel import Tls
from epipar_client.compute_calls import ComputeCalls
from epipar_client.file_calls import FileCalls
from epipar_client.job_calls import JobCalls
from epipar_client.retry import Retry
from epipar_client.scene_calls import SceneCalls
from epipar_client.transport import Part, Transport


class EpiparClient(ComputeCalls, SceneCalls, JobCalls, FileCalls):
    """A typed client of an Epipar suite. Safe to share by all tasks of one event loop.

        async with EpiparClient("http://127.0.0.1:8080") as client:
            upload = await client.upload("clip.mp4")
            job = await client.start_reconstruction(upload.name)
            async for event in client.watch_job(job.name):
                print(event)

    Args:
        address: of everything that is not given below: a suite's public address (Envoy's), as
            "host:port", "http://host:port" or "https://host:port".
        depth: address of the depth service.
        export: address of the export service.
        inpaint: address of the inpaint service.
        gateway: address of the gateway's gRPC.
        http: address of uploads and files.
        tls: None for plain text, unless an address says "https://"; Tls() trusts the system's
            authorities.
        token: sent as `authorization: Bearer`; only over TLS or to this machine.
        retry: when a call is repeated.
        silence_s: how long a stream may be silent before its connection counts as lost. The
            services send something every 10 seconds.

    Raises:
        ValueError: an address or a setting cannot be right.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        depth: str | None = None,
        export: str | None = None,
        inpaint: str | None = None,
        gateway: str | None = None,
        http: str | None = None,
        tls: Tls | None = None,
        token: str | None = None,
        retry: Retry | None = None,
        silence_s: float = 60.0,
    ) -> None:
        chosen: dict[Part, str | None] = {
            "depth": depth,
            "export": export,
            "inpaint": inpaint,
            "gateway": gateway,
            "http": http,
        }
        if address is not None:
            chosen = {part: at if at is not None else address for part, at in chosen.items()}
        self._transport = Transport(
            {part: at for part, at in chosen.items() if at is not None},
            tls=tls,
            token=token,
            retry=retry or Retry(),
            silence_s=silence_s,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; calls that still run are cancelled."""
        await self._transport.aclose()
