"""The configuration: what must hold in every variant, and that Envoy takes each of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from epipar_envoy.binary import EnvoyError, check_config, find_envoy
from epipar_envoy.bootstrap import bootstrap, rendered
from epipar_envoy.settings import EnvoySettings, check_files, load_envoy_settings
from epipar_envoy.variants import VARIANTS
from epipar_kit.settings import SettingsError

Config = dict[str, Any]

FILTERS = ["cors", "grpc_web", "grpc_stats", "local_ratelimit", "body_size_limit", "router"]
STREAMS = {
    "/epipar.scene.v1.JobService/WatchJob",
    "/epipar.depth.v1.DepthService/Predict",
    "/epipar.export.v1.ExportService/Export",
    "/epipar.inpaint.v1.InpaintService/MaskIncomplete",
    "/epipar.inpaint.v1.InpaintService/Complete",
}


def settings(variant: str, **values: Any) -> EnvoySettings:
    return load_envoy_settings(**{**VARIANTS[variant], **values})


def manager(config: Config) -> Config:
    """Return the HTTP connection manager of the public listener."""
    [public] = [x for x in config["static_resources"]["listeners"] if x["name"] == "public"]
    found: Config = public["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def routes(config: Config) -> list[Config]:
    found: list[Config] = manager(config)["route_config"]["virtual_hosts"][0]["routes"]
    return found


def clusters(config: Config) -> dict[str, Config]:
    return {cluster["name"]: cluster for cluster in config["static_resources"]["clusters"]}


def path_of(route: Config) -> str:
    return str(route["match"].get("path") or route["match"]["prefix"])


def chosen(config: Config, path: str) -> Config:
    """Return the first route that matches, as Envoy does."""
    for route in routes(config):
        match = route["match"]
        if match.get("path") == path or path.startswith(match.get("prefix", "\0")):
            return route
    raise AssertionError(f"nothing answers {path}")


def all_values(config: Any, key: str) -> Iterator[Any]:
    if isinstance(config, dict):
        for name, value in config.items():
            if name == key:
                yield value
            yield from all_values(value, key)
    elif isinstance(config, list):
        for value in config:
            yield from all_values(value, key)


def check_laws(config: Config) -> None:
    """What holds in every variant, whatever else differs."""
    names = [x["name"].removeprefix("envoy.filters.http.") for x in manager(config)["http_filters"]]
    assert [name for name in names if name != "jwt_authn"] == FILTERS
    if "jwt_authn" in names:
        assert names.index("local_ratelimit") < names.index("jwt_authn")
        assert names.index("jwt_authn") < names.index("body_size_limit")
    for path in STREAMS:
        route = chosen(config, path)["route"]
        assert path_of(chosen(config, path)) == path
        assert route["timeout"] == "0s"
        assert route["max_stream_duration"] == {"max_stream_duration": "0s"}
        assert route["idle_timeout"] == "60s"
        assert "unavailable" not in route["retry_policy"]["retry_on"]
    for method in ("JobService/StartExport", "JobService/DeleteJob", "SceneService/CreateScene"):
        route = chosen(config, f"/epipar.scene.v1.{method}")
        assert route["route"]["retry_policy"]["retry_on"] == "connect-failure,refused-stream"
        assert route["request_headers_to_add"][0]["header"]["value"] == "30000m"
        assert route["route"]["idle_timeout"] == "35s"
    for method in ("JobService/GetJob", "SceneService/ListScenes"):
        route = chosen(config, f"/epipar.scene.v1.{method}")["route"]
        assert "unavailable" in route["retry_policy"]["retry_on"]
    assert chosen(config, "/grpc.health.v1.Health/Check")["direct_response"]["status"] == 403
    upload = chosen(config, "/uploads/abc")
    [off] = upload["typed_per_filter_config"].values()
    assert off["disabled"] is True
    assert upload["route"]["timeout"] == "0s"
    assert "retry_policy" not in upload["route"]
    assert [path_of(x) for x in routes(config) if "typed_per_filter_config" in x] == ["/uploads"]
    assert config["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"
    assert all(x["enable_reuse_port"] is False for x in config["static_resources"]["listeners"])
    assert manager(config)["path_with_escaped_slashes_action"] == "REJECT_REQUEST"
    assert not any("stdout" in name for name in all_values(config, "name") if isinstance(name, str))
    behind = {name: x for name, x in clusters(config).items() if name != "jwks"}
    for name, cluster in behind.items():
        assert cluster["common_lb_config"]["healthy_panic_threshold"]["value"] == 0, name
        assert cluster["circuit_breakers"]["thresholds"][0]["max_requests"] > 0
        if name in {"gateway", "depth", "export", "inpaint"}:
            [check] = cluster["health_checks"]
            assert check["grpc_health_check"]["service_name"].startswith("epipar.")
    assert clusters(config)["gateway_http"]["health_checks"][0]["http_health_check"]
    assert list(all_values(config["overload_manager"], "max_active_downstream_connections"))
    traces = manager(config).get("tracing")
    assert (traces is not None) == ("collector" in clusters(config))
    if traces is not None:
        assert {"tag": "http.url", "value": "%PATH(NQ)%"} in traces["custom_tags"]
        assert "health_checks" not in clusters(config)["collector"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_laws_hold_in_every_variant(variant: str) -> None:
    check_laws(bootstrap(settings(variant)))


def _swap(config: Config) -> None:
    filters = manager(config)["http_filters"]
    filters[0], filters[1] = filters[1], filters[0]


def _stream_time(config: Config) -> None:
    chosen(config, "/epipar.scene.v1.JobService/WatchJob")["route"]["timeout"] = "15s"


def _reorder(config: Config) -> None:
    routes(config).sort(key=lambda route: "path" in route["match"])


def _repeat_starts(config: Config) -> None:
    route = chosen(config, "/epipar.scene.v1.JobService/StartExport")["route"]
    route["retry_policy"]["retry_on"] += ",unavailable"


def _open_grpc(config: Config) -> None:
    routes(config).remove(chosen(config, "/grpc.health.v1.Health/Check"))


def _limit_uploads(config: Config) -> None:
    del chosen(config, "/uploads")["typed_per_filter_config"]


def _unlimit_files(config: Config) -> None:
    off = chosen(config, "/uploads")["typed_per_filter_config"]
    chosen(config, "/files/x")["typed_per_filter_config"] = off


def _open_admin(config: Config) -> None:
    config["admin"]["address"]["socket_address"]["address"] = "0.0.0.0"  # noqa: S104 - the mutant


def _share_port(config: Config) -> None:
    config["static_resources"]["listeners"][0]["enable_reuse_port"] = True


def _log_to_stdout(config: Config) -> None:
    manager(config)["access_log"][0]["name"] = "envoy.access_loggers.stdout"


def _panic(config: Config) -> None:
    clusters(config)["gateway"]["common_lb_config"]["healthy_panic_threshold"]["value"] = 50


def _blind(config: Config) -> None:
    clusters(config)["depth"]["health_checks"] = []


def _slashes(config: Config) -> None:
    manager(config)["path_with_escaped_slashes_action"] = "KEEP_UNCHANGED"


@pytest.mark.parametrize(
    "mutate",
    [
        _swap,
        _stream_time,
        _reorder,
        _repeat_starts,
        _open_grpc,
        _limit_uploads,
        _unlimit_files,
        _open_admin,
        _share_port,
        _log_to_stdout,
        _panic,
        _blind,
        _slashes,
    ],
)
def test_a_mutant_breaks_a_law(mutate: Callable[[Config], None]) -> None:
    config = copy.deepcopy(bootstrap(settings("laptop")))
    check_laws(config)
    mutate(config)
    with pytest.raises((AssertionError, KeyError, ValueError)):
        check_laws(config)


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
