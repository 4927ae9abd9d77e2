"""The configuration of each variant, and that Envoy takes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from epipar_envoy.binary import EnvoyError, check_config, find_envoy
from epipar_envoy.bootstrap import bootstrap, rendered
from epipar_envoy.variants import VARIANTS

from .configs import (
    all_values,
    chosen,
    clusters,
    manager,
    settings,
)


@pytest.mark.parametrize(
    ("endpoint", "address"),
    [
        ("http://127.0.0.1:4317", "127.0.0.1:4317"),
        ("http://collector.monitoring", "collector.monitoring:4317"),
        ("https://collector.example:4317", ""),
        ("", ""),
    ],
)
def test_its_spans_go_where_those_of_the_services_go(
    endpoint: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    assert settings("laptop").trace_address == address
    assert settings("laptop", trace_address="other:1").trace_address == "other:1"
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert settings("laptop").trace_address == ""


def test_a_laptop_names_addresses_and_a_cluster_looks_names_up() -> None:
    laptop = clusters(bootstrap(settings("laptop")))
    cluster = clusters(bootstrap(settings("cluster")))
    assert {x["type"] for x in laptop.values()} == {"STATIC"}
    assert "outlier_detection" not in laptop["depth"]
    named = [x for name, x in cluster.items() if name != "admin"]
    assert {x["type"] for x in named} == {"STRICT_DNS"}
    assert {x["lb_policy"] for x in named} == {"LEAST_REQUEST"}
    assert all(x["outlier_detection"] for x in named)


def test_tokens_are_asked_for_where_that_is_set_and_only_there() -> None:
    def guarded(variant: str) -> list[str]:
        found = all_values(manager(bootstrap(settings(variant)))["http_filters"], "rules")
        return [rule["match"]["prefix"] for rules in found for rule in rules]

    assert guarded("laptop") == []
    assert guarded("jwt") == ["/epipar.", "/uploads", "/files/"]
    config = bootstrap(settings("jwt"))
    [provider] = next(all_values(config, "providers")).values()
    assert provider["audiences"] == ["epipar"]
    assert provider["require_expiration"] is True
    assert "jwks" in clusters(config)


def test_a_service_without_an_address_has_no_cluster() -> None:
    config = bootstrap(settings("laptop", inpaint_address=""))
    assert "inpaint" not in clusters(config)
    answer = chosen(config, "/epipar.inpaint.v1.InpaintService/Complete")["direct_response"]
    assert answer["status"] == 503
    assert "EPIPAR_ENVOY_INPAINT_ADDRESS" in answer["body"]["inline_string"]


def test_no_origin_is_allowed_by_default() -> None:
    def allowed(**values: Any) -> Any:
        config = bootstrap(settings("laptop", **values))
        return next(all_values(config, "allow_origin_string_match"))

    assert allowed() == []
    assert allowed(cors_origins="https://a.example, https://b.example") == [
        {"exact": "https://a.example"},
        {"exact": "https://b.example"},
    ]
    assert allowed(cors_origins="*") == [{"safe_regex": {"regex": ".*"}}]


def test_equal_settings_give_equal_text() -> None:
    assert rendered(bootstrap(settings("public"))) == rendered(bootstrap(settings("public")))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    pair = authority.issue_cert("localhost", "gateway")
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    pair.private_key_pem.write_to_path(str(folder / "key.pem"))
    for number, part in enumerate(pair.cert_chain_pems):
        part.write_to_path(str(folder / "cert.pem"), append=number > 0)
    return {name: str(folder / f"{name}.pem") for name in ("ca", "key", "cert")}


@pytest.mark.parametrize("upstream", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_envoy_takes_every_variant(
    tmp_path: Path, certificates: dict[str, str], variant: str, upstream: bool
) -> None:
    values: dict[str, Any] = {"jwt_jwks_ca": certificates["ca"]}
    if "tls_cert" in VARIANTS[variant]:
        values |= {"tls_cert": certificates["cert"], "tls_key": certificates["key"]}
    if upstream:
        values |= {
            "upstream_ca": certificates["ca"],
            "upstream_cert": certificates["cert"],
            "upstream_key": certificates["key"],
            "access_log": tmp_path / "access.log",
            "hosts": "a.example,b.example",
            "cors_origins": "*",
        }
    path = tmp_path / "envoy.yaml"
    path.write_text(rendered(bootstrap(settings(variant, **values))))
    check_config(find_envoy(), path)


def test_a_configuration_that_envoy_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    config = bootstrap(settings("laptop"))
    config["static_resources"]["clusters"][0]["lb_policy"] = "BY_MOOD"
    path = tmp_path / "envoy.yaml"
    path.write_text(rendered(config))
    with pytest.raises(EnvoyError, match="BY_MOOD"):
        check_config(find_envoy(), path)


def test_an_envoy_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvoyError, match="ENVOY_PATH"):
        find_envoy(tmp_path / "envoy")
