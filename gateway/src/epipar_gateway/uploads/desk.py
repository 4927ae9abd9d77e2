"""The asynchronous side of a book of uploads: who may write when, and sealing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from epipar_gateway.uploads.body import Body, BodyWriter
from epipar_gateway.uploads.metadata import Checksum, UploadMetadata
from epipar_gateway.uploads.seams import DirectUpload, DirectUploads, ReceivingUpload, Uploads
from epipar_gateway.uploads.status import UploadStatus
from epipar_gateway.uploads.threads import Threads
from epipar_kit.errors import (
    EpiparError,
    InvalidInputError,
    LimitExceededError,
    NotReadyError,
)

log = structlog.get_logger(__name__)

_SWEEP_EVERY_S = 600.0


class WrongOffsetError(NotReadyError):
    """The client would write where the file does not end; ``offset`` is where it does."""

    def __init__(self, name: str, offset: int, seen: int) -> None:
        super().__init__(
            "BAD_REQUEST", f"Upload-Offset is {seen}; {name!r} goes on at {offset}", subject=name
        )
        self.offset = offset


class UploadDesk:
    """Lets one request at a time write an upload, and seals what is whole."""

    def __init__(self, book: Uploads) -> None:
        self.book = book
        self._threads = Threads()
        self._writers: dict[str, BodyWriter] = {}
        self._sealing: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Finish what a crash left unsealed and remove what expires, until the end."""
        tidying = asyncio.create_task(self._tidy())
        try:
            yield
        finally:
            tidying.cancel()
            await asyncio.gather(tidying, *self._sealing.values(), return_exceptions=True)
            self._threads.close()

    async def create(self, size: int, metadata: UploadMetadata) -> UploadStatus:
        """Begin an upload; see UploadBook.create."""
        return await self._threads.write(self.book.create, size, metadata)

    async def create_direct(
        self, uploads: DirectUploads, size: int, metadata: UploadMetadata
    ) -> DirectUpload:
        """Begin an upload by a signed PUT; see DirectUploads.begin."""
        return await self._threads.write(uploads.begin, size, metadata)

    async def status(self, upload_id: str) -> UploadStatus:
        """Tell how far an upload is; a whole one is sealed first, should that still be to do.

        Raises:
            NotFoundError: NOT_FOUND, also where sealing refused it.
        """
        status = await self._threads.write(self.book.status, upload_id)
        if status.is_whole and status.record.state == "receiving":
            await self.seal(upload_id)
            status = await self._threads.write(self.book.status, upload_id)
        return status

    async def peek(self, upload_id: str) -> UploadStatus:
        """Tell how far an upload is, and change nothing."""
        return await self._threads.write(self.book.status, upload_id)

    async def receive(
        self,
        upload_id: str,
        offset: int,
        body: Body,
        *,
        length: int | None = None,
        checksum: Checksum | None = None,
    ) -> UploadStatus:
        """Write a request body to an upload and seal it when that was the last of it.

        Args:
            upload_id: whose.
            offset: where the client believes that the file ends.
            body: the bytes.
            length: how many they are, where the client said.
            checksum: what they must hash to.

        Raises:
            WrongOffsetError: BAD_REQUEST.
            NotReadyError: OUTPUT_BUSY, another request writes it.
            LimitExceededError: INPUT_TOO_LARGE; TOO_MANY_REQUESTS where too many write at once.
            BodyBrokenOffError: the client went away; what came is kept.
            EpiparError: what writing and sealing raise; an upload that is not what its name
                says is removed.
        """
        if len(self._writers) >= self.book.limits.max_writing:
            raise LimitExceededError(
                "TOO_MANY_REQUESTS",
                f"{len(self._writers)} requests write uploads, as many as may at once",
                subject="uploads",
                retry_after_s=2.0,
            )
        before = await self.peek(upload_id)
        if before.record.state == "sealed":
            if offset == before.offset and not length:
                return before
            raise WrongOffsetError(before.record.name, before.offset, offset)
        receiving = await self._open(upload_id)
        try:
            await self._write(receiving, offset, body, length, checksum)
        finally:
            await self._close(receiving)
        return await self.status(upload_id)

    async def remove(self, upload_id: str) -> None:
        """Remove an upload; a request that writes it ends.

        Raises:
            NotFoundError: NOT_FOUND.
        """
        status = await self.peek(upload_id)
        await self._threads.write(self.book.remove, status.record.name)
        writer = self._writers.get(upload_id)
        if writer is not None:
            writer.give_way()

    async def seal(self, upload_id: str) -> None:
        """Seal an upload, or wait for who does; goes on when the caller is cancelled."""
        task = self._sealing.get(upload_id)
        if task is None:
            task = asyncio.create_task(self._seal(upload_id))
            self._sealing[upload_id] = task
            task.add_done_callback(lambda _: self._sealing.pop(upload_id, None))
        await asyncio.shield(task)

    async def _seal(self, upload_id: str) -> None:
        await self._threads.seal(self.book.seal, upload_id)

    async def _open(self, upload_id: str) -> ReceivingUpload:
        """Lock an upload; a silent writer gives way, a living one does not."""
        try:
            return await self._threads.write(self.book.open, upload_id)
        except NotReadyError:
            writer = self._writers.get(upload_id)
            if writer is None or writer.silent_s < self.book.limits.takeover_s:
                raise
            writer.give_way()
            await writer.closed.wait()
            return await self._threads.write(self.book.open, upload_id)

    async def _write(
        self,
        receiving: ReceivingUpload,
        offset: int,
        body: Body,
        length: int | None,
        checksum: Checksum | None,
    ) -> None:
        name = receiving.record.name
        if offset != receiving.offset:
            raise WrongOffsetError(name, receiving.offset, offset)
        if length is not None and length > receiving.missing:
            raise LimitExceededError(
                "INPUT_TOO_LARGE",
                f"the body has {length} bytes; {receiving.missing} of {name!r} are missing",
                subject=name,
            )
        writer = BodyWriter(body, receiving, self.book.limits, self._threads)
        self._writers[receiving.record.upload_id] = writer
        try:
            await writer.write(checksum)
        except InvalidInputError as error:
            if error.reason.startswith("UNREADABLE"):
                await self._threads.write(self.book.remove, name)
            raise

    async def _close(self, receiving: ReceivingUpload) -> None:
        try:
            await self._threads.write(self.book.close, receiving)
        finally:
            writer = self._writers.pop(receiving.record.upload_id, None)
            if writer is not None:
                writer.closed.set()

    async def _tidy(self) -> None:
        for upload_id in await self._threads.write(lambda: list(self.book.whole())):
            try:
                await self.seal(upload_id)
            except (EpiparError, OSError) as error:
                log.warning("upload_not_sealed", upload=upload_id, error=str(error))
        while True:
            try:
                await self._threads.write(self.book.sweep)
            except (EpiparError, OSError) as error:  # a store that is away comes back
                log.warning("uploads_not_swept", error=str(error))
            await asyncio.sleep(_SWEEP_EVERY_S)
