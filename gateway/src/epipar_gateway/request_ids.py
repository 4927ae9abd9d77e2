"""request_id: a repeat of a request is answered with what the first one made."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import sqlalchemy as sa
from google.protobuf.message import Message

from epipar_gateway.ids import now_us, request_id_from
from epipar_gateway.tables import request_ids
from epipar_kit.errors import AlreadyExistsError


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A request as it can be recognised.

    Attributes:
        id: the caller's request_id, "" where there is none.
        content: hash of method and request.
    """

    id: str
    content: str


def request_key(method: str, request: Message, request_id: str) -> RequestKey:
    """Return the key of a request.

    Raises:
        InvalidInputError: BAD_REQUEST, the request_id is out of its bounds.
    """
    data = method.encode() + b"\0" + request.SerializeToString(deterministic=True)
    return RequestKey(request_id_from(request_id), hashlib.sha256(data).hexdigest())


def answered_before(connection: sa.Connection, key: RequestKey) -> str | None:
    """Return the resource that the first such request made, None where this is the first.

    Raises:
        AlreadyExistsError: REQUEST_ID_REUSED, it was another request.
    """
    if not key.id:
        return None
    statement = sa.select(request_ids).where(request_ids.c.request_id == key.id)
    found = connection.execute(statement).one_or_none()
    if found is None:
        return None
    if found.request_hash != key.content:
        raise AlreadyExistsError(
            "REQUEST_ID_REUSED",
            f"request_id {key.id!r} was used before with another request; choose a new one",
            resource_type="request_id",
            resource_name=key.id,
        )
    return str(found.resource)


def remember(connection: sa.Connection, key: RequestKey, resource: str) -> None:
    """Keep what a request made."""
    if key.id:
        connection.execute(
            sa.insert(request_ids).values(
                request_id=key.id,
                request_hash=key.content,
                resource=resource,
                created_us=now_us(),
            )
        )


def forget(connection: sa.Connection, key: RequestKey, resource: str) -> None:
    """Drop a request whose resource is gone, and no other that has come since."""
    connection.execute(
        sa.delete(request_ids).where(
            request_ids.c.request_id == key.id, request_ids.c.resource == resource
        )
    )
