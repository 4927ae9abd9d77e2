"""TLS, and TLS that asks who the client is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from epipar_kit.server import Server
from epipar_kit.settings import ServerSettings, SettingsError

from .echo_service import HELLO, EchoServicer, echo_service, method


def _tls_files(folder: Path) -> tuple[trustme.CA, dict[str, Any]]:
    authority = trustme.CA()
    pair = authority.issue_cert("localhost", "127.0.0.1")
    cert, key = folder / "cert.pem", folder / "key.pem"
    pair.private_key_pem.write_to_path(key)
    cert.write_bytes(b"".join(part.bytes() for part in pair.cert_chain_pems))
    return authority, {"tls_cert": cert, "tls_key": key}


async def _say(address: str, credentials: grpc.ChannelCredentials) -> str:
    async with grpc.aio.secure_channel(address, credentials) as channel:
        return str((await method(channel, "Say")(HELLO, timeout=120)).value)


async def test_tls_serves_those_who_trust_its_authority_and_nobody_in_the_clear(
    tmp_path: Path,
) -> None:
    authority, files = _tls_files(tmp_path)
    settings = ServerSettings(store_url=".", port=0, grace_s=0, **files)
    async with Server(settings, [echo_service(EchoServicer())]) as server:
        trusting = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        assert await _say(server.ready.address, trusting) == "hello"
        stranger = grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())
        with pytest.raises(grpc.aio.AioRpcError):
            await _say(server.ready.address, stranger)
        async with grpc.aio.insecure_channel(server.ready.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await method(channel, "Say")(HELLO, timeout=120)


async def test_mutual_tls_serves_only_those_with_a_certificate(tmp_path: Path) -> None:
    authority, files = _tls_files(tmp_path)
    clients = trustme.CA()
    client_ca = tmp_path / "clients.pem"
    clients.cert_pem.write_to_path(client_ca)
    settings = ServerSettings(store_url=".", port=0, grace_s=0, tls_client_ca=client_ca, **files)
    pair = clients.issue_cert("somebody@example.org")
    root = authority.cert_pem.bytes()
    async with Server(settings, [echo_service(EchoServicer())]) as server:
        known = grpc.ssl_channel_credentials(
            root, pair.private_key_pem.bytes(), pair.cert_chain_pems[0].bytes()
        )
        assert await _say(server.ready.address, known) == "hello"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await _say(server.ready.address, grpc.ssl_channel_credentials(root))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_tls_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    _, files = _tls_files(tmp_path)
    settings = ServerSettings(store_url=".", port=0, **{**files, "tls_key": tmp_path / "no.pem"})
    with pytest.raises(SettingsError, match=r"no\.pem"):
        await Server(settings, []).__aenter__()
