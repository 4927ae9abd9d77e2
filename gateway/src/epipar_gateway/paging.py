"""Pages of lists, newest first: a token names the last row of the page before."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from epipar_kit.errors import InvalidInputError

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for.

    Attributes:
        size: most rows.
        filters: what the list is filtered by; a token is good for these alone.
        after: (created_us, id) of the last row of the page before, None for the first page.
    """

    size: int
    filters: str
    after: tuple[int, str] | None

    def select(self, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
        """Return the statement for this page and one row more, which tells whether it is the last."""
        statement = sa.select(table).where(*conditions)
        if self.after is not None:
            created_us, row_id = self.after
            older = table.c.created_us < created_us
            same = sa.and_(table.c.created_us == created_us, table.c.id < row_id)
            statement = statement.where(sa.or_(older, same))
        return statement.order_by(table.c.created_us.desc(), table.c.id.desc()).limit(self.size + 1)

    def cut(self, rows: Sequence[Any]) -> tuple[Sequence[Any], str]:
        """Return the rows of this page, and the token of the next one, "" at the end."""
        if len(rows) <= self.size:
            return rows, ""
        last = rows[self.size - 1]
        token = json.dumps([self.filters, last.created_us, last.id]).encode()
        return rows[: self.size], base64.urlsafe_b64encode(token).decode().rstrip("=")


def page_from(size: int, token: str, filters: Sequence[Any]) -> Page:
    """Read page_size and page_token.

    Raises:
        InvalidInputError: BAD_REQUEST with the field.
    """
    if not 0 <= size <= MAX_PAGE_SIZE:
        raise InvalidInputError(
            "BAD_REQUEST",
            "page_size",
            f"page_size is {size}; it must be 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}",
        )
    digest = hashlib.sha256(json.dumps(list(filters)).encode()).hexdigest()[:16]
    after = _after(token, digest) if token else None
    return Page(size or DEFAULT_PAGE_SIZE, digest, after)


def _after(token: str, filters: str) -> tuple[int, str]:
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        of, created_us, row_id = json.loads(data)
        if not (type(created_us) is int and abs(created_us) < 2**63 and isinstance(row_id, str)):
            raise ValueError("no row")
    except (binascii.Error, UnicodeError, ValueError, TypeError):
        raise InvalidInputError(
            "BAD_REQUEST",
            "page_token",
            f"page_token {token[:40]!r} is none of ours; pass next_page_token of the page before",
        ) from None
    if of != filters:
        raise InvalidInputError(
            "BAD_REQUEST",
            "page_token",
            "page_token belongs to a list with other filters; they must stay the same",
        )
    return created_us, row_id
