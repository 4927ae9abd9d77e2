"""Envoy's admin page, as far as its program needs it."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import aiohttp

from epipar_envoy.listener import PUBLIC

_TIMEOUT = aiohttp.ClientTimeout(total=5.0)
_ACTIVE = f"http.{PUBLIC}.downstream_rq_active"


class Admin:
    """A client of the admin page at an address; an async context manager."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._session = aiohttp.ClientSession(f"http://{address}", timeout=_TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def is_ready(self) -> bool:
        """Tell whether Envoy listens and knows how its services are."""
        try:
            async with self._session.get("/ready") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def public_address(self) -> str:
        """Return where the public listener answers, as "host:port"."""
        statuses = (await self._json("/listeners?format=json"))["listener_statuses"]
        [public] = [status for status in statuses if status["name"] == PUBLIC]
        address = public["local_address"]["socket_address"]
        host = str(address["address"])
        return (
            f"[{host}]:{address['port_value']}"
            if ":" in host
            else f"{host}:{address['port_value']}"
        )

    async def active_requests(self) -> int:
        """Return how many requests run."""
        stats = (await self._json(f"/stats?format=json&filter=^{_ACTIVE}$"))["stats"]
        return sum(int(stat.get("value", 0)) for stat in stats)

    async def drain(self) -> None:
        """Ask clients to go elsewhere; what runs goes on."""
        await self._post("/drain_listeners?graceful&skip_exit")

    async def quit(self) -> None:
        """End Envoy now."""
        await self._post("/quitquitquit")

    async def _json(self, path: str) -> Any:
        async with self._session.get(path) as response:
            response.raise_for_status()
            return await response.json(content_type=None)

    async def _post(self, path: str) -> None:
        async with self._session.post(path) as response:
            response.raise_for_status()
