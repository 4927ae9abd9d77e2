"""What must hold in every variant of the configuration, and mutants that break each law."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from epipar_envoy.bootstrap import bootstrap
from epipar_envoy.variants import VARIANTS

from .configs import (
    Config,
    all_values,
    chosen,
    clusters,
    manager,
    path_of,
    routes,
    settings,
)

FILTERS = ["cors", "grpc_web", "grpc_stats", "local_ratelimit", "body_size_limit", "router"]
STREAMS = {
    "/epipar.scene.v1.JobService/WatchJob",
    "/epipar.depth.v1.DepthService/Predict",
    "/epipar.export.v1.ExportService/Export",
    "/epipar.inpaint.v1.InpaintService/MaskIncomplete",
    "/epipar.inpaint.v1.InpaintService/Complete",
}


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
