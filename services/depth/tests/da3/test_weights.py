"""Weights are found, pinned once and verified ever after; everything else is refused with a way out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from epipar_depth.da3 import models
from epipar_depth.da3.registry import DEFAULT_MODEL, ModelSpec, find_model, load_registry
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.da3.weights import find_weights, locate, pin_weights, read_lock, verify
from epipar_kit.errors import CorruptArtifactError, EpiparError, InvalidInputError, NotReadyError

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Da3Settings:
    """A machine with nothing on it."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return Da3Settings(models_dir=tmp_path / "models", offline=True)


@pytest.fixture
def base() -> ModelSpec:
    return load_registry()[DEFAULT_MODEL]


def _staged(folder: Path, *, name: str | None = "da3-base", data: bytes = b"weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(data)
    if name is not None:
        (folder / "config.json").write_text(json.dumps({"model_name": name}))
    return folder


def _cached(spec: ModelSpec, tmp_path: Path) -> Path:
    root = tmp_path / "hf" / "hub" / f"models--{spec.repo.replace('/', '--')}"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(REVISION)
    return _staged(root / "snapshots" / REVISION, name=spec.architecture)


def test_the_default_may_be_used_by_anybody(base: ModelSpec) -> None:
    assert next(iter(load_registry())) == DEFAULT_MODEL == "da3-base"
    assert base.licence == "Apache-2.0"
    base.check_licence("")


@pytest.mark.parametrize("name", ["da3-large", "da3-giant", "da3nested-giant-large"])
def test_non_commercial_weights_need_their_licence_by_name(name: str) -> None:
    spec = load_registry()[name]
    for given in ("", "Apache-2.0", "yes"):
        with pytest.raises(NotReadyError) as refused:
            spec.check_licence(given)
        assert refused.value.reason == "LICENCE_NOT_ACCEPTED"
        assert "--accept-licence CC-BY-NC-4.0" in refused.value.message
    spec.check_licence("CC-BY-NC-4.0")


def test_missing_weights_say_how_to_stage_them(base: ModelSpec, here: Da3Settings) -> None:
    with pytest.raises(NotReadyError) as refused:
        locate(base, here)
    assert refused.value.reason == "WEIGHTS_MISSING"
    assert "epipar models pull da3-base" in refused.value.message
    assert str(here.models_dir / "da3-base") in refused.value.message


def test_weights_in_the_hub_cache_are_found_by_their_revision(
    base: ModelSpec, here: Da3Settings, tmp_path: Path
) -> None:
    folder = _cached(base, tmp_path)
    assert find_weights(base, here) == folder
    pin = pin_weights(base, here, folder)
    assert (pin.repo, pin.revision) == ("depth-anything/DA3-BASE", REVISION)
    assert verify(base, here) == (folder, pin)
    # The hub moves on; what was pinned stays.
    (folder.parents[1] / "refs" / "main").write_text("f" * 40)
    assert verify(base, here) == (folder, pin)


def test_a_folder_laid_down_by_hand_stands_above_the_cache(
    base: ModelSpec, here: Da3Settings, tmp_path: Path
) -> None:
    cached = _cached(base, tmp_path)
    assert find_weights(base, here) == cached
    staged = _staged(here.models_dir / "da3-base")
    assert find_weights(base, here) == staged


def test_weights_that_nobody_pinned_are_not_used(base: ModelSpec, here: Da3Settings) -> None:
    _staged(here.models_dir / "da3-base")
    with pytest.raises(NotReadyError, match="not pinned yet"):
        locate(base, here)


def test_changed_weights_are_refused(base: ModelSpec, here: Da3Settings) -> None:
    folder = _staged(here.models_dir / "da3-base")
    pin_weights(base, here, folder)
    (folder / "model.safetensors").write_bytes(b"weightz")
    locate(base, here)  # the size is the same: only the hash tells
    with pytest.raises(CorruptArtifactError, match="SHA-256"):
        verify(base, here)
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(CorruptArtifactError, match="has 0 bytes"):
        locate(base, here)
    with pytest.raises(CorruptArtifactError, match="SHA-256"):
        pin_weights(base, here, folder)  # a pull does not pin over a pin


def test_a_registry_that_knows_the_hash_is_obeyed(base: ModelSpec, here: Da3Settings) -> None:
    folder = _staged(here.models_dir / "da3-base")
    with pytest.raises(CorruptArtifactError):
        pin_weights(replace(base, sha256="0" * 64), here, folder)


def test_weights_of_another_model_are_refused(here: Da3Settings) -> None:
    registry = load_registry()
    folder = _staged(here.models_dir / "da3mono-large", name="da3metric-large")
    with pytest.raises(CorruptArtifactError, match="da3metric-large"):
        pin_weights(registry["da3mono-large"], here, folder)
    # Mono and metric have the same tensors: without a name nobody could tell.
    (folder / "config.json").unlink()
    with pytest.raises(CorruptArtifactError):
        pin_weights(registry["da3mono-large"], here, folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(CorruptArtifactError):
        pin_weights(registry["da3mono-large"], here, folder)


def test_a_damaged_lock_file_is_told(base: ModelSpec, here: Da3Settings) -> None:
    here.models_dir.mkdir()
    (here.models_dir / "models.lock.json").write_text('{"da3-base": {"sha": 1}}')
    with pytest.raises(CorruptArtifactError, match=r"models\.lock\.json"):
        read_lock(here)


def _entry(name: str, licence: str) -> str:
    values = {"name": name, "repo": "", "architecture": "a", "licence": licence, "summary": ""}
    return json.dumps([values])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "cannot be used"),
        ('{"a": 1}', "must be a list"),
        ('[{"name": "x"}]', "missing"),
        (
            '[{"name": "X!", "repo": "", "architecture": "a", "licence": "MIT", "summary": ""}]',
            "X!",
        ),
        (_entry("da3-base", "MIT"), "exists already"),
        (_entry("mine", ""), "licence"),
    ],
)
def test_a_models_file_that_is_none_is_refused(tmp_path: Path, content: str, named: str) -> None:
    (tmp_path / "models.json").write_text(content)
    with pytest.raises(InvalidInputError, match=named):
        load_registry(tmp_path / "models.json")


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match="da3-base, da3-small"):
        find_model(load_registry(), "da4")


def test_the_command_lists_pulls_and_verifies(
    here: Da3Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in here.to_environment().items():
        monkeypatch.setenv(name, value)

    def told(*arguments: str) -> tuple[int, list[dict[str, object]]]:
        status = models.main(arguments)
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    status, lines = told("list")
    assert status == 0
    assert {line["state"] for line in lines} == {"missing"}
    status, lines = told("pull")
    assert status == 1
    assert "WEIGHTS_MISSING" in str(lines)
    _cached(load_registry()[DEFAULT_MODEL], tmp_path)
    assert told("list")[1][0]["state"] == "unpinned"
    status, lines = told("pull")
    assert (status, lines[0]["state"], lines[0]["revision"]) == (0, "ready", REVISION)
    assert told("verify") == (0, lines)
    status, lines = told("pull", "da3-large")
    assert status == 1
    assert "LICENCE_NOT_ACCEPTED" in str(lines)
    assert told("verify", "da3-small")[0] == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("MEMORY_MIB", "much"), ("MAX_MODELS", "0"), ("DEVICES", "gpu"), ("OFFLINE", "perhaps")],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(EpiparError, match=f"EPIPAR_DEPTH_DA3_{name}"):
        Da3Settings.from_environment({f"EPIPAR_DEPTH_DA3_{name}": value})


def test_settings_travel_through_the_environment(tmp_path: Path) -> None:
    settings = Da3Settings(models_dir=tmp_path, offline=True, memory_mib=7, warm="da3-small")
    assert Da3Settings.from_environment(settings.to_environment()) == settings
