"""Files over HTTP: uploads by tus, downloads by Range."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import aiohttp

from epipar_client.download import download_file
from epipar_client.errors import InvalidInputError, NotFoundError, UnavailableError
from epipar_client.scene_types import Upload
from epipar_client.transport import OnProgress, Transport
from epipar_client.tus import TusUpload
from epipar_client.types import Artifact, Progress
from epipar_scene.content_hash import sha256_of_file

_HEALTH_TIMEOUT = aiohttp.ClientTimeout(total=2)


class FileCalls:
    """The part of the client that moves files."""

    _transport: Transport

    async def upload(
        self,
        path: Path | str,
        on_progress: OnProgress | None = None,
        *,
        display_name: str | None = None,
        resume: str | None = None,
        on_started: Callable[[str], None] | None = None,
    ) -> Upload:
        """Send a file to the suite; a connection that breaks is taken up where it was.

        Args:
            path: a video, an image, or a zip of images.
            on_progress: called with Progress of the stages "hashing" and "uploading", in bytes.
            display_name: name for people of the scene to be.
            resume: what `on_started` was told by an earlier call for the same file; it goes on
                there if it still exists, and begins anew if not.
            on_started: told the URL of the upload once there is one.

        Raises:
            InvalidInputError: it is no file, or empty, or of a kind that the suite does not take.
            EpiparError: the upload failed otherwise.
            OSError: the file cannot be read.
        """
        path = Path(path)
        if not path.is_file() or not path.stat().st_size:
            raise InvalidInputError(
                f"{str(path)!r} is {'empty' if path.is_file() else 'no file'}; it must be a file "
                "with content",
                reason="BAD_REQUEST",
                field="path",
            )
        size = path.stat().st_size
        tell = on_progress or _ignore
        tell(Progress("hashing", 0, size, "bytes", path.name))
        sha256 = await asyncio.to_thread(sha256_of_file, path)
        tell(Progress("hashing", size, size, "bytes", path.name))
        metadata = {
            "filename": path.name,
            "filetype": mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            "sha256": sha256,
        }
        if display_name:
            metadata["display_name"] = display_name

        def send(url: str | None) -> TusUpload:
            return TusUpload(
                self._transport.session(),
                self._transport.url("/uploads"),
                path,
                size,
                metadata,
                retry=self._transport.retry,
                on_bytes=lambda sent: tell(Progress("uploading", sent, size, "bytes", path.name)),
                url=url,
            )

        started = on_started or _ignore
        if resume is not None:
            try:
                return await send(resume).run(started)
            except NotFoundError:
                pass  # it has expired
        return await send(None).run(started)

    async def download(
        self,
        artifact: Artifact | str,
        path: Path | str,
        on_progress: OnProgress | None = None,
        *,
        sha256: str | None = None,
    ) -> int:
        """Fetch an artifact into a file, which appears whole or not at all.

        Args:
            artifact: an artifact, whose hash is then checked, or a store key.
            path: the file to make; its folder must exist. One that is there is replaced.
            on_progress: called with Progress of the stage "downloading", in bytes.
            sha256: what a store key's file must hash to.

        Returns:
            Its size in bytes.

        Raises:
            NotFoundError: there is no such file.
            CorruptArtifactError: its hash is another.
            EpiparError: the download failed otherwise.
            OSError: the file cannot be written.
        """
        key = artifact if isinstance(artifact, str) else artifact.uri
        if isinstance(artifact, Artifact):
            sha256 = artifact.sha256 or None
        tell = on_progress or _ignore
        return await download_file(
            self._transport.session(),
            self.file_url(key),
            Path(path),
            sha256=sha256,
            retry=self._transport.retry,
            on_bytes=lambda done, total: tell(
                Progress("downloading", done, total, "bytes", Path(path).name)
            ),
        )

    @property
    def base_url(self) -> str:
        """The suite's address for browsers, without a slash at its end.

        Raises:
            ValueError: the client has no address for HTTP.
        """
        return self._transport.url("")

    def file_url(self, key: str) -> str:
        """Return the URL of an artifact by its store key.

        Raises:
            ValueError: the client has no address for HTTP.
        """
        return self._transport.url(f"/files/{quote(key)}")

    async def wait_until_ready(self, *, timeout_s: float = 30.0) -> None:
        """Wait until the suite's public address answers.

        Raises:
            UnavailableError: it did not within `timeout_s`.
        """
        url, last = self._transport.url("/healthz"), "no answer"
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        session = self._transport.session()
                        async with session.get(url, timeout=_HEALTH_TIMEOUT) as response:
                            if response.status == 200:
                                return
                            last = f"status {response.status}"
                    except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                        last = str(error) or type(error).__name__
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise UnavailableError(
                f"{url} was not ready within {timeout_s:g} s: {last}", reason="UNAVAILABLE"
            ) from None


def _ignore(_: object) -> None:
    """Take what is told and do nothing."""
