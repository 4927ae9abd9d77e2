"""The compose file: what the specification says, and what the suite's own programs say."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
import yaml

from epipar_envoy.settings import load_envoy_settings
from epipar_kit.settings import load_settings
from tools.images.catalogue import ROOT
from tools.k8s_check.schema import SCHEMAS
from tools.k8s_check.setting_names import CLASSES, only

_OURS = ["depth", "export", "inpaint", "gateway", "envoy"]


def _filled(value: Any) -> Any:
    """Put the defaults of ${NAME:-default} in, as Compose does."""
    if isinstance(value, str):
        return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
    if isinstance(value, dict):
        return {key: _filled(part) for key, part in value.items()}
    return [_filled(part) for part in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Return the file with its defaults."""
    loaded: dict[str, Any] = _filled(yaml.safe_load((ROOT / "compose.yaml").read_text()))
    return loaded


def test_it_fits_the_specification(compose):
    schema = json.loads((SCHEMAS / "compose-spec.json").read_text())["schema"]
    judge = jsonschema.Draft202012Validator(schema)
    assert [error.message for error in judge.iter_errors(compose)] == []


@pytest.mark.parametrize("name", _OURS)
def test_every_variable_is_a_setting_of_its_service(compose, name: str):
    environment = compose["services"][name]["environment"]
    ours = {key: value for key, value in environment.items() if key.startswith("EPIPAR_")}
    with only(ours):
        settings = load_envoy_settings() if name == "envoy" else load_settings(CLASSES[name])
    assert settings.host == "0.0.0.0"  # noqa: S104 - inside the network of the containers


@pytest.mark.parametrize("name", ["gateway", "envoy"])
def test_every_address_is_a_service_that_listens_there(compose, name: str):
    for variable, value in compose["services"][name]["environment"].items():
        if not variable.endswith("_ADDRESS"):
            continue
        host, port = value.split(":")
        assert host in compose["services"]
        fields = CLASSES[host].model_fields
        listened = {fields[f].default for f in ("port", "http_port") if f in fields}
        assert int(port) in listened
        shared = set(compose["services"][name]["networks"])
        assert shared & set(compose["services"][host]["networks"])


@pytest.mark.parametrize("name", _OURS)
def test_a_service_is_locked_in_and_has_time_to_drain(compose, name: str):
    service = compose["services"][name]
    assert service["read_only"] is True
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]
    environment = service["environment"]
    grace_s = float(environment.get(f"EPIPAR_{name.upper()}_GRACE_S", 10))
    assert float(service["stop_grace_period"].removesuffix("s")) >= grace_s + 10
    assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_volumes_and_networks_are_declared_and_used(compose):
    mounted = {
        mount.split(":")[0] for service in compose["services"].values()
        for mount in service.get("volumes", ())
    }  # fmt: skip
    assert mounted == set(compose["volumes"])
    joined = {name for service in compose["services"].values() for name in service["networks"]}
    assert joined == set(compose["networks"])


def test_all_services_share_one_store(compose):
    stores = {
        compose["services"][name]["environment"]["EPIPAR_STORE_URL"]
        for name in _OURS
        if name != "envoy"
    }
    assert len(stores) == 1
    for name in ("depth", "export", "inpaint", "gateway"):
        assert "store:/data" in compose["services"][name]["volumes"]


def test_only_the_door_is_published_and_only_on_this_machine(compose):
    published = {
        name: service["ports"]
        for name, service in compose["services"].items()
        if "ports" in service and "profiles" not in service
    }
    assert published == {"envoy": ["127.0.0.1:8080:8080"]}


def test_traces_go_to_the_collector_of_their_profile_when_asked_for(compose):
    jaeger = compose["services"]["jaeger"]
    assert jaeger["profiles"] == ["traces"]
    assert jaeger["ports"] == ["127.0.0.1:16686:16686"]
    for name in _OURS:
        service = compose["services"][name]
        assert service["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "", "off by default"
        assert set(service["networks"]) & set(jaeger["networks"])
