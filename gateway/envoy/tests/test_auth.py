"""Tokens and TLS through the real Envoy."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
import trustme
from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from epipar.scene.v1 import job_service_pb2 as pb
from epipar.scene.v1 import job_service_pb2_grpc as pb_grpc
from epipar_gateway.http_server import HttpServer

from .doors import Door, door

pytestmark = pytest.mark.asyncio(loop_scope="module")

ISSUER = "https://issuer.example"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """Makes tokens, and the keys to check them by."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwks(self) -> str:
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "alg": "RS256",
            "kid": "k1",
            "use": "sig",
            "n": encoded(numbers.n.to_bytes(256, "big")),
            "e": encoded(numbers.e.to_bytes(3, "big")),
        }
        return json.dumps({"keys": [key]})

    def token(self, **claims: Any) -> str:
        head = {"alg": "RS256", "typ": "JWT", "kid": "k1"}
        body = {
            "iss": ISSUER,
            "aud": "epipar",
            "sub": "ada",
            "exp": int(time.time()) + 300,
            **claims,
        }
        parts = [
            encoded(json.dumps({k: v for k, v in part.items() if v is not None}).encode())
            for part in (head, body)
        ]
        signed = ".".join(parts).encode()
        return ".".join(
            [*parts, encoded(self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))]
        )


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("jwt")
    (folder / "jwks.json").write_text(issuer.jwks())
    async with door(
        folder,
        jwt_issuer=ISSUER,
        jwt_audiences="epipar",
        jwt_jwks_file=folder / "jwks.json",
        cors_origins="https://app.example",
    ) as opened:
        yield opened


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_good_token_opens_and_its_subject_travels(at: Door, issuer: Issuer) -> None:
    async with at.channel() as channel:
        await pb_grpc.JobServiceStub(channel).GetJob(
            pb.GetJobRequest(name="jobs/a"),
            metadata=(
                ("authorization", f"Bearer {issuer.token()}"),
                ("x-epipar-subject", "root"),
            ),
        )
    assert at.jobs.metadata["x-epipar-subject"] == "ada"
    assert "authorization" not in at.jobs.metadata
    answer = await at.ask("GET", "/files/scenes/none", bearer(issuer.token()))
    assert answer.status == 404


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example"},
        {"aud": "another"},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"nbf": 2**33},
    ],
)
async def test_a_token_that_is_not_for_us_is_refused(
    at: Door, issuer: Issuer, claims: dict[str, Any]
) -> None:
    answer = await at.ask("GET", "/files/scenes/none", bearer(issuer.token(**claims)))
    assert answer.status in {401, 403}


async def test_a_forged_token_is_refused(at: Door, issuer: Issuer) -> None:
    good = issuer.token()
    head, body, signature = good.split(".")
    none = encoded(b'{"alg":"none","typ":"JWT"}')
    changed = encoded(json.dumps({"iss": ISSUER, "aud": "epipar", "exp": 2**33}).encode())
    for token in (
        Issuer().token(),
        f"{head}.{changed}.{signature}",
        f"{none}.{body}.",
        good[:-10],
        "nonsense",
    ):
        assert (await at.ask("GET", "/files/scenes/none", bearer(token))).status == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/epipar.scene.v1.JobService/GetJob"),
        ("POST", "/uploads"),
        ("PATCH", "/uploads/abc"),
        ("POST", "/uploads/direct"),
        ("POST", "/uploads/abc/seal"),
        ("GET", "/files/scenes/none"),
    ],
)
async def test_without_a_token_nothing_of_value_opens(at: Door, method: str, path: str) -> None:
    assert (await at.ask(method, path)).status == 401


@pytest.mark.parametrize(
    "path", ["//files/scenes/none", "/x/../files/scenes/none", "/./uploads/x", "/files%2fscenes"]
)
async def test_no_spelling_of_a_path_leads_past_the_token(at: Door, path: str) -> None:
    host, _, port = at.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    status = int((await reader.read()).split()[1])
    writer.close()
    assert status in {400, 401}


async def test_without_a_token_grpc_is_unauthenticated(at: Door) -> None:
    async with at.channel() as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await pb_grpc.JobServiceStub(channel).GetJob(pb.GetJobRequest(name="jobs/a"))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_the_page_health_and_preflights_need_no_token(at: Door) -> None:
    assert (await at.ask("GET", "/healthz")).status == 200
    assert b"make viewer" in (await at.ask("GET", "/")).body
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    answer = await at.ask("OPTIONS", "/epipar.scene.v1.JobService/GetJob", asked)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"


async def test_keys_may_come_from_an_address(tmp_path: Path, issuer: Issuer) -> None:
    async def keys(request: web.Request) -> web.Response:
        return web.Response(text=issuer.jwks(), content_type="application/json")

    app = web.Application()
    app.router.add_get("/jwks", keys)
    async with (
        HttpServer(app, "127.0.0.1", 0) as server,
        door(
            tmp_path,
            jwt_issuer=ISSUER,
            jwt_audiences="another, epipar",
            jwt_jwks_uri=f"http://{server.address}/jwks",
        ) as at,
    ):
        good = await at.ask("GET", "/files/scenes/none", bearer(issuer.token()))
        bad = await at.ask("GET", "/files/scenes/none", bearer(Issuer().token()))
    assert (good.status, bad.status) == (404, 401)


class Certificates:
    """An authority, and a certificate of this machine."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        pair = self.authority.issue_cert("localhost", "127.0.0.1")
        self.ca, self.cert, self.key = (folder / f"{name}.pem" for name in ("ca", "cert", "key"))
        self.authority.cert_pem.write_to_path(str(self.ca))
        pair.private_key_pem.write_to_path(str(self.key))
        self.cert.write_bytes(b"".join(part.bytes() for part in pair.cert_chain_pems))


async def test_tls_speaks_http_2_and_1_and_asks_to_stay(tmp_path: Path) -> None:
    own = Certificates(tmp_path)
    trust = ssl.create_default_context(cafile=str(own.ca))
    async with door(
        tmp_path,
        tls_cert=own.cert,
        tls_key=own.key,
        scheme="https",
        client={"connector_owner": True},
    ) as at:
        credentials = grpc.ssl_channel_credentials(own.ca.read_bytes())
        async with grpc.aio.secure_channel(at.address, credentials) as channel:
            jobs = pb_grpc.JobServiceStub(channel)
            assert (await jobs.GetJob(pb.GetJobRequest(name="jobs/a"))).job.name == "jobs/a"
        answer = await at.ask("GET", "/healthz", ssl=trust)
        assert "max-age" in answer.headers["Strict-Transport-Security"]
        assert chosen_protocol(at.address, trust, ["h2", "http/1.1"]) == "h2"
        assert chosen_protocol(at.address, trust, ["http/1.1"]) == "http/1.1"


def chosen_protocol(address: str, trust: ssl.SSLContext, offered: list[str]) -> str | None:
    host, _, port = address.rpartition(":")
    trust.set_alpn_protocols(offered)
    with (
        socket.create_connection((host, int(port))) as plain,
        trust.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return secured.selected_alpn_protocol()


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_services_are_spoken_to_by_tls(tmp_path: Path, trusted: bool) -> None:
    own = Certificates(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    authority = own.ca if trusted else Certificates(other).ca
    upstream = {"tls_cert": own.cert, "tls_key": own.key, "tls_client_ca": own.ca}
    async with (
        door(
            tmp_path,
            upstream=upstream,
            upstream_ca=authority,
            upstream_cert=own.cert,
            upstream_key=own.key,
        ) as at,
        at.channel() as channel,
    ):
        call = pb_grpc.JobServiceStub(channel).GetJob(pb.GetJobRequest(name="jobs/a"))
        if trusted:
            assert (await call).job.name == "jobs/a"
        else:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
