"""What the door may be told: names, files, and no more openness than is said in so many words."""

from __future__ import annotations

from typing import Any

import pytest

from epipar_envoy.bootstrap import bootstrap
from epipar_envoy.settings import check_files, load_envoy_settings
from epipar_kit.settings import SettingsError

from .configs import (
    clusters,
    settings,
)

AUTH = {
    "tls_cert": "c",
    "tls_key": "k",
    "jwt_issuer": "i",
    "jwt_audiences": "a",
    "jwt_jwks_file": "j",
}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "epipar.example"])  # noqa: S104
@pytest.mark.parametrize("missing", ["TLS and JWT", "TLS", "JWT", ""])
def test_beyond_loopback_tls_and_jwt_are_needed(host: str, missing: str) -> None:
    values = {
        name: value
        for name, value in AUTH.items()
        if name.partition("_")[0].upper() not in missing.split(" and ")
    }
    if not missing:
        assert load_envoy_settings(host=host, **values).host == host
        return
    with pytest.raises(SettingsError, match=f"without {missing}: anybody") as caught:
        load_envoy_settings(host=host, **values)
    assert "EPIPAR_ENVOY_ALLOW_PUBLIC_WITHOUT_AUTH=true" in str(caught.value)
    assert load_envoy_settings(host=host, allow_public_without_auth=True, **values).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_needs_neither(host: str) -> None:
    assert load_envoy_settings(host=host).host == host


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gateway_address": "nohost"}, "EPIPAR_ENVOY_GATEWAY_ADDRESS is 'nohost'"),
        ({"gateway_address": ""}, "must be host:port"),
        ({"depth_address": "http://a:1"}, "EPIPAR_ENVOY_DEPTH_ADDRESS"),
        ({"depth_address": "a:0"}, "must be host:port"),
        ({"depth_address": "a:70000"}, "must be host:port"),
        ({"tls_cert": "c"}, "go together"),
        ({"upstream_cert": "c", "upstream_key": "k"}, "without EPIPAR_ENVOY_UPSTREAM_CA"),
        ({"jwt_jwks_file": "j"}, "no token would be asked for"),
        ({"jwt_issuer": "i", "jwt_audiences": "a"}, "exactly one of"),
        ({"jwt_issuer": "i", "jwt_jwks_file": "j"}, "AUDIENCES is not set"),
        (
            {"jwt_issuer": "i", "jwt_audiences": "a", "jwt_jwks_uri": "ftp://x"},
            "must begin with https://",
        ),
        ({"metrics_port": 9000}, "needs EPIPAR_ENVOY_ADMIN_PORT"),
        (
            {"metrics_port": 9000, "admin_port": 9001, "metrics_host": "10.0.0.1"},
            "beyond loopback",
        ),
        ({"port": 70000}, "EPIPAR_ENVOY_PORT is 70000; it must be 0 to 65535"),
        ({"grace_s": -1}, "EPIPAR_ENVOY_GRACE_S is -1"),
    ],
)
def test_settings_that_contradict_are_refused_in_words(values: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words.replace("(", r"\(")):
        load_envoy_settings(**values)


def test_a_mistyped_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPIPAR_ENVOY_PROT", "1")
    with pytest.raises(SettingsError, match="did you mean EPIPAR_ENVOY_PORT"):
        load_envoy_settings()


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPIPAR_ENVOY_PORT", "1234")
    monkeypatch.setenv("EPIPAR_ENVOY_DEPTH_ADDRESS", "[::1]:5")
    found = load_envoy_settings()
    assert (found.port, found.depth_address) == (1234, "[::1]:5")
    address = clusters(bootstrap(found))["depth"]["load_assignment"]["endpoints"][0]
    socket = address["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert socket == {"address": "::1", "port_value": 5}


def test_a_file_that_is_not_there_is_named_by_its_setting() -> None:
    with pytest.raises(SettingsError, match="EPIPAR_ENVOY_TLS_CERT is /etc/epipar") as caught:
        check_files(settings("tls"))
    assert "EPIPAR_ENVOY_TLS_KEY" in str(caught.value)
