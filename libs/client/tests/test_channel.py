"""Who a client talks to: TLS, mutual TLS, tokens and addresses."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
import trustme
from aiohttp import web

from epipar_client import EpiparClient, Retry, Tls, UnavailableError
from epipar_client.addresses import parse_address

from .conftest import Suite
from .fake_http import FakeHttp
from .fake_suite import FakeDepth, new_server


@pytest.fixture
async def mutual_tls(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """Serve with client certificates required; the folder holds ca.pem, client.pem, client.key."""
    authority = trustme.CA()
    certificate, client = authority.issue_cert("suite.test"), authority.issue_cert("backend.test")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "client.pem")
    client.private_key_pem.write_to_path(tmp_path / "client.key")
    server = new_server(FakeDepth(), None)
    port = server.add_secure_port(
        "127.0.0.1:0",
        grpc.ssl_server_credentials(
            [(certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())],
            root_certificates=authority.cert_pem.bytes(),
            require_client_auth=True,
        ),
    )
    await server.start()
    yield f"127.0.0.1:{port}", tmp_path
    await server.stop(None)


async def test_mutual_tls_lets_a_known_client_in(mutual_tls: tuple[str, Path]) -> None:
    address, folder = mutual_tls
    tls = Tls(
        ca=folder / "ca.pem",
        cert=folder / "client.pem",
        key=folder / "client.key",
        server_name="suite.test",
    )
    async with EpiparClient(address, tls=tls, token="secret") as client:  # noqa: S106 - no real one
        assert len(await client.list_engines()) == 1


async def test_mutual_tls_keeps_an_unknown_client_out(mutual_tls: tuple[str, Path]) -> None:
    address, folder = mutual_tls
    tls = Tls(ca=folder / "ca.pem", server_name="suite.test")
    async with EpiparClient(address, tls=tls, retry=Retry(attempts=1)) as client:
        with pytest.raises(UnavailableError, match="does not answer"):
            await client.list_engines()


async def test_https_is_as_encrypted_as_grpc(tmp_path: Path) -> None:
    """One `https://` address and its authority serve for files too; others are not trusted."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    runner = web.AppRunner(FakeHttp(tmp_path).app(), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    address = f"https://127.0.0.1:{runner.addresses[0][1]}"
    async with EpiparClient(http=address, tls=Tls(ca=tmp_path / "ca.pem")) as client:
        assert client.base_url == address
        await client.wait_until_ready()
    async with EpiparClient(http=address) as stranger:
        with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            await stranger.wait_until_ready(timeout_s=0.5)
    await runner.cleanup()


async def test_the_token_and_the_request_id_travel_as_metadata(suite: Suite) -> None:
    async with EpiparClient(suite.address, token="secret") as client:  # noqa: S106 - no real one
        await client.list_engines()
    sent = suite.depth.metadata[0]
    assert sent["authorization"] == "Bearer secret"
    assert len(sent["x-request-id"]) == 32
    assert sent["user-agent"].startswith("epipar-python/")


async def test_a_token_never_leaves_the_machine_in_the_clear() -> None:
    with pytest.raises(ValueError, match="unencrypted"):
        EpiparClient("epipar.example:443", token="secret")  # noqa: S106 - no real one


@pytest.mark.parametrize(
    "address",
    ["", "127.0.0.1", "ftp://127.0.0.1:1", "http://h:1/path", "http://h:1?q", "h:99999", "u@h:1"],
)
async def test_an_address_that_cannot_be_right_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        EpiparClient(address)


async def test_an_address_may_be_written_as_a_url(suite: Suite) -> None:
    async with EpiparClient(f"http://{suite.address}/") as client:
        assert len(await client.list_engines()) == 1


@pytest.mark.parametrize(
    ("text", "target", "url"),
    [
        ("127.0.0.1:8080", "127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://epipar.example", "epipar.example:80", "http://epipar.example:80"),
        ("https://epipar.example", "epipar.example:443", "https://epipar.example:443"),
        ("http://[::1]:8080", "[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_every_form_of_an_address_is_one_target(text: str, target: str, url: str) -> None:
    address = parse_address(text)
    assert (address.target, address.url(secure=address.secure)) == (target, url)


async def test_a_service_without_an_address_is_named(suite: Suite) -> None:
    async with EpiparClient(depth=suite.address) as client:
        with pytest.raises(ValueError, match="no address of export"):
            client.export("scenes/a")


def test_half_a_client_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="both cert and key"):
        Tls(cert=tmp_path / "client.pem")


@pytest.mark.parametrize(("attempts", "base_s"), [(0, 0.1), (101, 0.1), (3, -1.0), (3, 99.0)])
def test_a_retry_out_of_its_bounds_is_refused(attempts: int, base_s: float) -> None:
    with pytest.raises(ValueError, match=r"attempts|base_s"):
        Retry(attempts=attempts, base_s=base_s)
