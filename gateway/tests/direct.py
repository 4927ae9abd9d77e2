"""What a client of direct uploads says and does."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from epipar_kit.s3_store import S3Store

from .sites import clip

DATA = clip(100_000)


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload that waits for its PUT."""

    name: str
    put_url: str
    headers: Mapping[str, str]
    expires_time: str

    def put(self, data: bytes, **more: str) -> int:
        """Send the file to the bucket; return the status of the answer."""
        headers = {**self.headers, **{key.replace("_", "-"): more[key] for key in more}}
        request = urllib.request.Request(  # noqa: S310 - loopback
            self.put_url, data, headers, method="PUT"
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - loopback
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


def said(data: bytes = DATA, **values: Any) -> dict[str, Any]:
    """Return what a creation says of a file."""
    digest = hashlib.sha256(data).hexdigest()
    return {"file_name": "clip.mp4", "size_bytes": len(data), "sha256": digest, **values}


def keys(bucket: S3Store) -> list[str]:
    """Return the keys of all objects, sorted."""
    return sorted(found.key for found in bucket.bucket.objects(""))
