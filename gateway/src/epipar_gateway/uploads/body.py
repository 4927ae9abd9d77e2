"""Stream a request body into an upload: bounded memory, writing off the event loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from aiohttp import ClientPayloadError, http_exceptions, web

from epipar_gateway.uploads.limits import UploadLimits
from epipar_gateway.uploads.metadata import Checksum
from epipar_gateway.uploads.seams import ReceivingUpload
from epipar_gateway.uploads.threads import Threads
from epipar_kit.errors import InvalidInputError, LimitExceededError

_BROKEN = (
    ConnectionError,
    TimeoutError,
    ClientPayloadError,
    http_exceptions.HttpProcessingError,
    web.RequestPayloadError,
)


class Body(Protocol):
    """What is read from: aiohttp's StreamReader."""

    async def readany(self) -> bytes:
        """Return what has come, b"" at the end."""


class WrongChecksumError(InvalidInputError):
    """CORRUPT_ARTIFACT: the bytes of one request do not have the checksum that it names."""


class BodyBrokenOffError(Exception):
    """The client went silent or away; what came is kept."""


class BodyWriter:
    """Writes one body; another request may tell it to give way when the client is silent.

    Attributes:
        closed: set by its owner when the upload is unlocked again.
    """

    def __init__(
        self, body: Body, receiving: ReceivingUpload, limits: UploadLimits, threads: Threads
    ) -> None:
        self._body = body
        self._receiving = receiving
        self._limits = limits
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._patience: asyncio.Timeout | None = None
        self.closed = asyncio.Event()

    @property
    def silent_s(self) -> float:
        """For how long the client has said nothing; 0 while its bytes are being written."""
        return 0.0 if self._patience is None else self._loop.time() - self._heard_at

    def give_way(self) -> None:
        """End the wait for the client now; what came is kept."""
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(self._loop.time())

    async def write(self, checksum: Checksum | None) -> None:
        """Write the body to its end.

        Args:
            checksum: what it must hash to; without it what came of a broken body is kept.

        Raises:
            BodyBrokenOffError: the client went silent or away.
            LimitExceededError: INPUT_TOO_LARGE, it goes beyond the file's size.
            WrongChecksumError: CORRUPT_ARTIFACT; none of it counts.
            EpiparError: what append raises.
        """
        receiving = self._receiving
        digest = hashlib.new(checksum.algorithm) if checksum is not None else None
        if digest is not None:
            await self._threads.write(receiving.begin_unchecked)
        try:
            async with aclosing(self._blocks()) as blocks:
                async for block in blocks:
                    self._check_room(block)
                    if digest is not None:
                        digest.update(block)
                    await self._threads.write(receiving.append, block)
        finally:
            await self._threads.write(receiving.sync)
        if checksum is not None and digest is not None:
            if digest.digest() != checksum.digest:
                raise WrongChecksumError(
                    "CORRUPT_ARTIFACT",
                    "Upload-Checksum",
                    f"the body has {checksum.algorithm} {digest.hexdigest()}; "
                    f"it must be {checksum.digest.hex()}",
                )
            await self._threads.write(receiving.confirm)

    def _check_room(self, block: bytearray) -> None:
        if len(block) > self._receiving.missing:
            raise LimitExceededError(
                "INPUT_TOO_LARGE",
                f"the body goes beyond the {self._receiving.record.size} bytes of Upload-Length",
                subject="upload",
            )

    async def _blocks(self) -> AsyncGenerator[bytearray, None]:
        """Yield the body in blocks worth a write; the last ones also of a broken body."""
        gathered = bytearray()
        broken: Exception | None = None
        while True:
            try:
                async with asyncio.timeout(self._limits.stall_s) as self._patience:
                    chunk = await self._body.readany()
            except _BROKEN as error:
                broken = error
                break
            finally:
                self._patience = None
            self._heard_at = self._loop.time()
            if not chunk:
                break
            gathered += chunk
            if len(gathered) >= self._limits.buffer_bytes:
                yield gathered
                gathered = bytearray()
        if gathered:
            yield gathered
        if broken is not None:
            raise BodyBrokenOffError(str(broken)) from broken
