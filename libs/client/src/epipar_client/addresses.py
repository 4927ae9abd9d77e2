"""Addresses as people write them: "host:port", "http://host:port" or "https://host:port"."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("127.", "localhost", "[::1]", "unix:")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a part of a suite listens.

    Attributes:
        target: for gRPC, for example "127.0.0.1:8080".
        secure: it was written with "https://".
    """

    target: str
    secure: bool = False

    @property
    def is_local(self) -> bool:
        """True if nothing sent there leaves this machine."""
        return self.target.startswith(_LOOPBACK)

    def url(self, *, secure: bool) -> str:
        """Return it as the base of URLs, without a slash at its end."""
        return f"{'https' if secure else 'http'}://{self.target}"


def parse_address(text: str) -> Address:
    """Read an address.

    Raises:
        ValueError: it is empty, has another scheme, no port where it needs one, or more than that.
    """
    wrong = ValueError(
        f'address is {text!r}; it must look like "127.0.0.1:8080" or "http://127.0.0.1:8080"'
    )
    if text.startswith("unix:"):
        return Address(text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    elif scheme not in _DEFAULT_PORTS:
        raise wrong
    try:
        parts = urlsplit(f"//{rest}")
        port = parts.port
    except ValueError:
        raise wrong from None
    port = port or _DEFAULT_PORTS.get(scheme)
    if not parts.hostname or port is None or parts.username is not None:
        raise wrong
    if parts.path.strip("/") or parts.query or parts.fragment or not rest.isprintable():
        raise wrong
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Address(f"{host}:{port}", secure=scheme == "https")
