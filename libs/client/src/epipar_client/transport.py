"""What all calls share: addresses, channels, one HTTP session, credentials, repeats."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

import aiohttp
from grpc import aio

from epipar_client.addresses import Address, parse_address
from epipar_client.call import Call
from epipar_client.channel import Tls, open_channel
from epipar_client.errors import EpiparError, InvalidInputError, error_from_rpc
from epipar_client.retry import Retry
from epipar_client.types import Progress
from epipar_client.version import VERSION

Service: TypeAlias = Literal["depth", "export", "inpaint", "gateway"]
Part: TypeAlias = Literal["depth", "export", "inpaint", "gateway", "http"]
OnProgress: TypeAlias = Callable[[Progress], None]

_AnswerT = TypeVar("_AnswerT")
_USER_AGENT = f"epipar-python/{VERSION}"
_CONNECT_S = 10.0


class Transport:
    """The connections of one client.

    Args:
        addresses: of each part that has one.
        tls: None for plain text, unless an address is written with "https://".
        token: sent as `authorization: Bearer`; only over TLS or to this machine.
        retry: when a call is repeated.
        silence_s: how long a stream may be silent before its connection counts as lost.

    Raises:
        ValueError: an address or a setting cannot be right.
    """

    def __init__(
        self,
        addresses: Mapping[Part, str],
        *,
        tls: Tls | None,
        token: str | None,
        retry: Retry,
        silence_s: float,
    ) -> None:
        if silence_s <= 0:
            raise ValueError(f"silence_s is {silence_s}; it must be positive")
        if not addresses:
            raise ValueError("no address is given; name at least one service's")
        self.retry = retry
        self.silence_s = silence_s
        self._token = token
        self._addresses: dict[Part, Address] = {
            part: parse_address(text) for part, text in addresses.items()
        }
        self._tls = tls or (Tls() if any(at.secure for at in self._addresses.values()) else None)
        self._channels: dict[str, aio.Channel] = {}
        for part, at in self._addresses.items():
            if part != "http" and at.target not in self._channels:
                self._channels[at.target] = open_channel(
                    at, tls=self._tls, token=token, user_agent=_USER_AGENT
                )
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        """Close everything; calls that still run are cancelled."""
        for channel in self._channels.values():
            await channel.close()
        if self._session is not None:
            await self._session.close()

    def target_of(self, part: Part) -> str:
        """Return "host:port" of a part.

        Raises:
            ValueError: the client was given none.
        """
        at = self._addresses.get(part)
        if at is None:
            raise ValueError(f"the client has no address of {part}; pass {part}=...")
        return at.target

    def channel_to(self, service: Service) -> aio.Channel:
        """Return the channel to a service.

        Raises:
            ValueError: the client has no address of it.
        """
        return self._channels[self.target_of(service)]

    def url(self, path: str) -> str:
        """Return the URL of an absolute path.

        Raises:
            ValueError: the client has no address for HTTP.
        """
        self.target_of("http")
        return self._addresses["http"].url(secure=self._tls is not None) + path

    def session(self) -> aiohttp.ClientSession:
        """Return the one HTTP session, made when it is first needed."""
        if self._session is None:
            headers = {"User-Agent": _USER_AGENT}
            if self._token:
                headers["Authorization"] = f"Bearer {self._token}"
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=True if self._tls is None else self._tls.context()
                ),
                headers=headers,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=_CONNECT_S, sock_read=self.silence_s
                ),
                auto_decompress=False,
            )
        return self._session

    def metadata(self, request_id: str) -> tuple[tuple[str, str], ...]:
        """Return what every call is sent with."""
        metadata = (("x-request-id", request_id),)
        return (*metadata, ("authorization", f"Bearer {self._token}")) if self._token else metadata

    def call(
        self,
        service: Service,
        stub: Callable[[aio.Channel], Any],
        method: str,
        request: object,
        read_event: Callable[[Any], Any],
        on_progress: OnProgress | None,
        timeout_s: float | None,
        request_id: str | None,
    ) -> Call[Any]:
        """Make a call that streams progress and ends with a result; nothing is sent yet."""
        request_id = checked_id(request_id) if request_id else fresh_id()
        metadata = self.metadata(request_id)
        send = getattr(stub(self.channel_to(service)), method)
        return Call(
            lambda remaining_s: send(request, timeout=remaining_s, metadata=metadata),
            read_event,
            address=self.target_of(service),
            request_id=request_id,
            retry=self.retry,
            timeout_s=timeout_s,
            silence_s=self.silence_s,
            on_progress=on_progress,
        )

    async def ask(
        self,
        service: Service,
        send: Callable[[aio.Channel, dict[str, Any]], Awaitable[_AnswerT]],
        *,
        timeout_s: float = 30.0,
    ) -> _AnswerT:
        """Send a call with one answer, and repeat it as `retry` says.

        Args:
            service: which one.
            send: sends it by a channel, with these keyword arguments.
            timeout_s: of each attempt.

        Raises:
            EpiparError: it failed.
        """
        at, channel, request_id = self.target_of(service), self.channel_to(service), fresh_id()
        settings = {"timeout": timeout_s, "metadata": self.metadata(request_id)}
        failed_attempts = 0
        while True:
            try:
                return await send(channel, settings)
            except aio.AioRpcError as cause:
                error: EpiparError = error_from_rpc(cause, address=at, request_id=request_id)
                failed_attempts += 1
                delay_s = self.retry.delay_s(failed_attempts, error)
                if delay_s is None:
                    raise error from cause
            await asyncio.sleep(delay_s)


def fresh_id() -> str:
    """Return an id that no other request has."""
    return uuid.uuid4().hex


def checked_id(request_id: str) -> str:
    """Return an id that can travel as metadata.

    Raises:
        InvalidInputError: it cannot.
    """
    if len(request_id) > 128 or not all("!" <= letter <= "~" for letter in request_id):
        raise InvalidInputError(
            f"request_id is {request_id[:200]!r}; it must be at most 128 visible ASCII characters",
            reason="BAD_REQUEST",
            field="request_id",
        )
    return request_id
