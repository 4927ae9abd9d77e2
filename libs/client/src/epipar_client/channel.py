"""Opening channels: plain, TLS or mutual TLS, with a token where there is one."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc import aio

from epipar_client.addresses import Address

_MAX_SEND_BYTES = 20 * 2**20
_MAX_RECEIVE_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Tls:
    """How to know the service, and how to be known by it.

    Attributes:
        ca: PEM file with the authorities to trust; None trusts the system's.
        cert: PEM file with this client's certificate chain, for mutual TLS.
        key: PEM file with its private key; with `cert`, or neither.
        server_name: the name the service's certificate has, where it is not the address; for gRPC.

    Raises:
        ValueError: only one of `cert` and `key` is given.
    """

    ca: Path | str | None = None
    cert: Path | str | None = None
    key: Path | str | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        if (self.cert is None) != (self.key is None):
            raise ValueError("mutual TLS needs both cert and key; only one is given")

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files.

        Raises:
            OSError: a file cannot be read.
        """
        return grpc.ssl_channel_credentials(
            root_certificates=_bytes_of(self.ca),
            private_key=_bytes_of(self.key),
            certificate_chain=_bytes_of(self.cert),
        )

    def context(self) -> ssl.SSLContext:
        """Read the files, for HTTPS.

        Raises:
            OSError: a file cannot be read.
        """
        context = ssl.create_default_context(cafile=self.ca)
        if self.cert is not None:
            context.load_cert_chain(self.cert, self.key)
        return context


def open_channel(
    address: Address, *, tls: Tls | None, token: str | None, user_agent: str
) -> aio.Channel:
    """Open a channel; nothing is sent before the first call.

    Args:
        address: where to.
        tls: None for plain text.
        token: refused over plain text unless the address is this machine.
        user_agent: put before grpc's own.

    Raises:
        ValueError: the token would travel in the clear.
    """
    if token and tls is None and not address.is_local:
        raise ValueError(
            f"the token would travel unencrypted to {address.target}; pass tls=Tls(), or leave it out"
        )
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", user_agent),
        ("grpc.max_send_message_length", _MAX_SEND_BYTES),
        ("grpc.max_receive_message_length", _MAX_RECEIVE_BYTES),
        # A service that restarts is found again soon: grpc's own backoff grows to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    if tls is None:
        return aio.insecure_channel(address.target, options=options)
    if tls.server_name:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return aio.secure_channel(address.target, tls.credentials(), options=options)


def _bytes_of(path: Path | str | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
