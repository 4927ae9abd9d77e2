"""A file of the Hugging Face hub, fetched so that a pull that was broken off goes on where it was.

The hub's own client says where a file lies, how long it is and what its bytes are, and fetches it;
it knows tokens (HF_TOKEN), mirrors (HF_ENDPOINT) and proxies. It keeps nothing of a download that
ended early, which for seven gigabytes of weights is too little: here the part stays.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from epipar_kit.content import file_sha256
from epipar_kit.errors import (
    CorruptArtifactError,
    EngineUnavailableError,
    EpiparError,
    ForbiddenError,
    NotFoundError,
    NotReadyError,
    storage_full_from,
)

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """What the hub says of a file.

    Attributes:
        url: where it is fetched.
        commit: of the repository.
        etag: SHA-256 of a large file, another name of its bytes of a small one.
        size_bytes: of the file.
    """

    url: str
    commit: str
    etag: str
    size_bytes: int

    @property
    def sha256(self) -> str:
        """SHA-256 of its bytes; "" where the hub does not say it."""
        return self.etag if _SHA256.fullmatch(self.etag) else ""


def hub_file(repo: str, revision: str, name: str, way_out: str) -> HubFile:
    """Ask the hub about a file.

    Args:
        repo: such as "depth-anything/DA3-BASE".
        revision: branch, tag or commit; "" is the main branch.
        name: of the file.
        way_out: what a person can do where the hub cannot be reached, for the message.

    Raises:
        NotFoundError: NOT_FOUND, the hub has no such repository, revision or file.
        ForbiddenError: FORBIDDEN, it gives it to those only whom it knows.
        EngineUnavailableError: ENGINE_UNAVAILABLE, it cannot be reached, or fails.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    with _typed(repo, revision, name, way_out):
        url = hf_hub_url(repo, name, revision=revision or None)
        told = get_hf_file_metadata(url, headers=build_hf_headers())
        if not told.commit_hash or not told.etag or told.size is None:
            raise OSError(f"{url} has no commit, ETag or size")
        return HubFile(
            hf_hub_url(repo, name, revision=told.commit_hash),
            told.commit_hash,
            told.etag,
            told.size,
        )


def fetch(file: HubFile, path: Path, repo: str, way_out: str) -> None:
    """Fetch a file to a path, from where an earlier fetch of the same bytes was broken off.

    Raises:
        CorruptArtifactError: CORRUPT_ARTIFACT, the bytes are not those that the hub announced.
        NotReadyError: OUTPUT_BUSY, another process is fetching it.
        StorageFullError: DISK_FULL.
        EpiparError: as of hub_file; what has come is kept.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^0-9A-Za-z]", "", file.etag)[:16]
    part = path.with_name(f".{path.name}.{name}.part")
    with _alone(part) as stream, _typed(repo, file.commit, path.name, way_out):
        _go_on(file, stream)
    if file.sha256 and (found := file_sha256(part)) != file.sha256:
        part.unlink()
        raise CorruptArtifactError(
            "CORRUPT_ARTIFACT",
            f"{path.name} of {repo} came with SHA-256 {found[:16]}...; the hub announced "
            f"{file.sha256[:16]}...: it was damaged on the way; what came is thrown away",
        )
    for other in path.parent.glob(f".{path.name}.*.part"):
        if other != part:
            other.unlink()  # of bytes that the hub does not have any more
    part.replace(path)


def _go_on(file: HubFile, stream: IO[bytes]) -> None:
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    here = stream.seek(0, os.SEEK_END)
    if here > file.size_bytes:
        here = stream.seek(0)
        stream.truncate()
    http_get(
        file.url,
        stream,
        resume_size=here,
        headers=build_hf_headers(),
        expected_size=file.size_bytes,
    )
    stream.flush()
    os.fsync(stream.fileno())


@contextmanager
def _alone(part: Path) -> Iterator[IO[bytes]]:
    """Open an unfinished file that nobody else writes."""
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotReadyError(
                "OUTPUT_BUSY", f"another process is fetching {part}", subject=str(part)
            ) from None
        yield stream


@contextmanager
def _typed(repo: str, revision: str, name: str, way_out: str) -> Iterator[None]:
    """Turn what the hub's client raises, on any of its HTTP libraries, into typed errors."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    hub = constants.ENDPOINT
    what = f"{name} of {repo}" + (f" at {revision}" if revision else "")
    try:
        yield
    except EpiparError:
        raise
    except GatedRepoError:
        raise ForbiddenError(
            "FORBIDDEN",
            f"{hub} gives {what} only to those who accepted its terms: do so there, and set "
            f"HF_TOKEN; or {way_out}",
        ) from None
    except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError):
        raise NotFoundError(
            "NOT_FOUND",
            f"{hub} has no {what}, or shows it to others only (HF_TOKEN)",
            resource_type="model",
            resource_name=repo,
        ) from None
    except OfflineModeIsEnabled:
        raise _unreachable(f"HF_HUB_OFFLINE is set; unset it, or {way_out}") from None
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "no status")
        raise _unreachable(f"{hub} answers {status} for {what}; later, or {way_out}") from None
    except OSError as error:
        if (full := storage_full_from(error)) is not None:
            raise full from None
        raise _broken(hub, what, error, way_out) from None
    except Exception as error:  # noqa: BLE001 - its HTTP library's own, another with each version
        raise _broken(hub, what, error, way_out) from None


def _broken(hub: str, what: str, error: Exception, way_out: str) -> EngineUnavailableError:
    why = f"{type(error).__name__}: {error}"[:160]
    return _unreachable(
        f"{what} does not come from {hub} ({why}); what came is kept and gone on from; where a "
        f"mirror or proxy is the way to it, set HF_ENDPOINT or HTTPS_PROXY; or {way_out}"
    )


def _unreachable(message: str) -> EngineUnavailableError:
    return EngineUnavailableError("ENGINE_UNAVAILABLE", message)
