"""An upload by one signed PUT to the bucket: where its bytes lie until they are sealed.

::

    uploads/{id}/.direct.epipar/begun   so that it counts as unfinished
    uploads/{id}/.direct.epipar/data    what the PUT writes; nobody takes it for a finished file

The signature binds method, key and time, not the bytes: until it ends, whoever has the address may
write the object again, also after the sealing. So a sealed file is a copy of the very version that
was checked, and what comes later is swept.
"""

from __future__ import annotations

from epipar_gateway.uploads.bucket_listing import DIRECT
from epipar_gateway.uploads.bucket_receiving import BLOCK_BYTES
from epipar_gateway.uploads.bucket_sealing import Piece
from epipar_gateway.uploads.record import UploadRecord
from epipar_gateway.uploads.status import not_sealed
from epipar_kit.bucket import Bucket
from epipar_kit.errors import InvalidInputError, NotFoundError


class WrongSizeError(InvalidInputError):
    """CORRUPT_ARTIFACT: the object has not the size that its sender named."""


def direct_key(name: str) -> str:
    """Return the key that the PUT of an upload ("uploads/{id}") writes."""
    return f"{name}/{DIRECT}/data"


def direct_pieces(bucket: Bucket, record: UploadRecord) -> list[Piece]:
    """Return the bytes of a direct upload, all of one version.

    They are read in pieces: one request for gigabytes would outlast its time.

    Raises:
        NotReadyError: SCENE_INCOMPLETE, they are not there yet.
        WrongSizeError: CORRUPT_ARTIFACT.
    """
    try:
        found = bucket.head(direct_key(record.name))
    except NotFoundError:
        raise not_sealed(record.name, 0, record.size) from None
    if found.size_bytes != record.size:
        raise WrongSizeError(
            "CORRUPT_ARTIFACT",
            "size_bytes",
            f"{record.file_name!r} has {found.size_bytes} bytes; it must have {record.size}",
        )
    return [
        Piece(found, first, min(first + BLOCK_BYTES, record.size))
        for first in range(0, record.size, BLOCK_BYTES)
    ]


def not_through_here(name: str) -> InvalidInputError:
    """Return the error for bytes sent to the gateway of what goes to the bucket."""
    return InvalidInputError(
        "BAD_REQUEST",
        "upload",
        f"{name!r} is a direct upload: PUT it to its address, then POST /{name}/seal",
    )
