"""Who may fetch an artifact: asked before every file; signed URLs will be one of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Guard(Protocol):
    """Says whether a request may have a file."""

    async def check(self, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Return where the file may be sent.

        Args:
            key: store key, checked already.
            query: of the URL.
            headers: of the request.

        Raises:
            UnauthenticatedError: nobody may without saying who he is.
            ForbiddenError: this one may not.
        """


class AllowAll:
    """Anybody who reaches the server may have everything."""

    async def check(self, key: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Allow it."""
