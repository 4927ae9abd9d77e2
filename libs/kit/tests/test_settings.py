"""Settings from the environment: bounds, mistypes and unsafe combinations stop the start."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from epipar_kit.settings import (
    ServerSettings,
    SettingsError,
    describe,
    is_loopback,
    load_settings,
)


class ExportSettings(ServerSettings):
    """A service's own settings."""

    model_config = SettingsConfigDict(env_prefix="EPIPAR_EXPORT_")

    bits: int = Field(default=14, ge=8, le=16, description="Bits a coordinate.")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("EPIPAR_STORE_URL", "file:///data")
    return monkeypatch


def test_variables_are_read_and_values_stand_above_them(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("EPIPAR_EXPORT_PORT", "1234")
    environment.setenv("EPIPAR_EXPORT_BITS", "12")
    settings = load_settings(ExportSettings, bits=10)
    assert (settings.port, settings.bits, settings.store_url) == (1234, 10, "file:///data")
    assert load_settings(ExportSettings, store_url="x").store_url == "x"


def test_a_value_out_of_bounds_is_named_with_its_bounds(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("EPIPAR_EXPORT_BITS", "40")
    environment.setenv("EPIPAR_EXPORT_PORT", "http")
    with pytest.raises(SettingsError) as caught:
        load_settings(ExportSettings)
    assert sorted(str(caught.value).splitlines()) == [
        "EPIPAR_EXPORT_BITS is 40; it must be 8 to 16",
        "EPIPAR_EXPORT_PORT is http; it must be 0 to 65535",
    ]


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("EPIPAR_EXPORT_PROT", "EPIPAR_EXPORT_PORT"),
        ("epipar_export_bit", "EPIPAR_EXPORT_BITS"),
        ("EPIPAR_EXPORT_TLS_CERTT", "EPIPAR_EXPORT_TLS_CERT"),
        ("EPIPAR_STORE_URI", "EPIPAR_STORE_URL"),
    ],
)
def test_a_mistyped_variable_stops_the_start_and_the_right_one_is_named(
    mistyped: str, meant: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(mistyped, "1")
    with pytest.raises(SettingsError) as caught:
        load_settings(ExportSettings)
    assert f"{mistyped.upper()} is no setting; did you mean" in str(caught.value)
    assert meant in str(caught.value)


def test_other_services_variables_are_not_ours(environment: pytest.MonkeyPatch) -> None:
    before = load_settings(ExportSettings)
    environment.setenv("EPIPAR_DEPTH_ANYTHING", "1")
    assert load_settings(ExportSettings) == before


def test_a_missing_store_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("EPIPAR_STORE_URL")
    with pytest.raises(SettingsError, match="EPIPAR_STORE_URL is not set; Artifact store"):
        load_settings(ExportSettings)


def test_an_unknown_value_is_refused() -> None:
    with pytest.raises(SettingsError, match="bitz is no setting; did you mean bits"):
        load_settings(ExportSettings, bitz=3)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings(ExportSettings).port = 1  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])  # noqa: S104 - refused
def test_listening_to_strangers_without_tls_must_be_said_in_so_many_words(host: str) -> None:
    with pytest.raises(SettingsError, match="EPIPAR_EXPORT_ALLOW_INSECURE_BIND=true"):
        load_settings(ExportSettings, host=host)
    load_settings(ExportSettings, host=host, allow_insecure_bind=True)
    load_settings(ExportSettings, host=host, tls_cert=Path("c"), tls_key=Path("k"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_tls(host: str) -> None:
    assert is_loopback(host)
    load_settings(ExportSettings, host=host)


@pytest.mark.parametrize(
    "files", [{"tls_cert": "c"}, {"tls_key": "k"}, {"tls_client_ca": "a"}], ids=str
)
def test_half_a_tls_setting_is_refused(files: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="EPIPAR_EXPORT_TLS_"):
        load_settings(ExportSettings, **files)


def test_the_table_has_every_setting_with_default_bounds_and_meaning() -> None:
    table = describe(ExportSettings)
    lines = {line.split()[0]: line for line in table.splitlines()}
    assert set(lines) == {
        "variable",
        *(ExportSettings.variable(name) for name in ExportSettings.model_fields),
    }
    assert lines["EPIPAR_EXPORT_BITS"].split(maxsplit=5)[1:] == [
        *("14", "8", "to", "16"),
        "Bits a coordinate.",
    ]
    assert "(required)" in lines["EPIPAR_STORE_URL"]
    assert "debug or info" in lines["EPIPAR_EXPORT_LOG_LEVEL"]


class MadeSettings(ExportSettings):
    """Settings whose defaults are made on the spot."""

    cores: int = Field(default_factory=lambda: 7, ge=1, description="Cores.")
    folder: Path = Field(default_factory=lambda: Path("/made"), description="Folder.")
    ready: bool = Field(default_factory=lambda: True, description="Ready.")
    twice: int = Field(default_factory=lambda data: 2 * data.get("cores", 0), description="Twice.")
    key: SecretStr = Field(default=SecretStr("k3y"), description="Key.")


def test_a_default_that_is_made_is_shown_as_it_is_here() -> None:
    table = describe(MadeSettings)
    lines = {line.split()[0]: line.split()[1] for line in table.splitlines()}
    made = {name: lines[f"EPIPAR_EXPORT_{name}"] for name in ("CORES", "FOLDER", "READY")}
    assert made == {"CORES": "7", "FOLDER": "/made", "READY": "true"}
    assert "Pydantic" not in table
    assert "k3y" not in table
    assert "SecretStr" not in table


def test_every_setting_is_explained() -> None:
    assert all(field.description for field in ServerSettings.model_fields.values())
