"""All uploads of a bucket, from one listing of their keys."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from epipar_gateway.uploads.bucket_receiving import BLOCKS
from epipar_gateway.uploads.record import FOLDER, RECORD_FILE, is_upload_id
from epipar_kit.bucket import Bucket, StoredObject
from epipar_kit.keys import hidden_name

DIRECT = hidden_name("direct")
"""Folder of the object that a signed PUT writes."""

HIDDEN = (BLOCKS, DIRECT)
"""Folders of an upload that hold what is not sealed."""


@dataclass(frozen=True, slots=True)
class ListedUpload:
    """The objects below one upload's name, whether it still exists or not.

    Attributes:
        upload_id: its id.
        objects: one or more, sorted by key.
    """

    upload_id: str
    objects: tuple[StoredObject, ...]

    @property
    def keys(self) -> list[str]:
        """The keys of all of them."""
        return [one.key for one in self.objects]

    @property
    def hidden(self) -> list[str]:
        """The keys of those that hold what is not sealed."""
        return [key for key in self.keys if key.split("/")[2] in HIDDEN]

    @property
    def has_record(self) -> bool:
        """There is an upload of that name."""
        return f"{FOLDER}/{self.upload_id}/{RECORD_FILE}" in self.keys

    @property
    def newest(self) -> float:
        """When the last of them was written, seconds since 1970."""
        return max(one.modified.timestamp() for one in self.objects)


def listed_uploads(bucket: Bucket) -> list[ListedUpload]:
    """Return all uploads."""
    groups = groupby(bucket.objects(FOLDER), key=lambda one: one.key.split("/")[1])
    return [ListedUpload(name, tuple(objects)) for name, objects in groups if is_upload_id(name)]
