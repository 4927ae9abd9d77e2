"""Engines are found by entry point, in distributions that really lie on the path."""

from __future__ import annotations

from pathlib import Path

import pytest

from epipar_kit.engines import engine_names, load_engine
from epipar_kit.errors import EngineUnavailableError, InvalidInputError

GROUP = "epipar.test_engines"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "some_engines-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-engines\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{GROUP}]\nplain = some_engines:make\nheavy = some_heavy_engine:make\n"
    )
    (tmp_path / "some_engines.py").write_text("def make():\n    return 'an engine'\n")
    (tmp_path / "some_heavy_engine.py").write_text("import a_module_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_installed_engines_are_listed_and_loaded() -> None:
    assert engine_names(GROUP) == ["heavy", "plain"]
    assert load_engine(GROUP, "plain")() == "an engine"


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_engine(GROUP, "plane")
    assert (caught.value.reason, caught.value.field) == ("ENGINE_UNKNOWN", "engine")
    assert caught.value.message == "engine is 'plane'; installed: heavy, plain"


def test_an_empty_group_says_so() -> None:
    assert engine_names("epipar.no_such_group") == []
    with pytest.raises(InvalidInputError, match="installed: none"):
        load_engine("epipar.no_such_group", "x")


def test_an_engine_whose_package_is_missing_is_unavailable() -> None:
    with pytest.raises(EngineUnavailableError, match="a_module_nobody_has") as caught:
        load_engine(GROUP, "heavy")
    assert (caught.value.reason, caught.value.retry_after_s) == ("ENGINE_UNAVAILABLE", None)
