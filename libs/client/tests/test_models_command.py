"""`epipar models` and the options of the engine "da3"."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from epipar_cli.arguments import build_parser
from epipar_cli.exit_codes import UsageError
from epipar_cli.reconstruct import da3_options
from epipar_client import Da3Options

from .conftest import Epipar, events_of


def _parsed(*arguments: str) -> Namespace:
    return build_parser().parse_args(["reconstruct", "clip.mp4", "-o", "scene", *arguments])


def test_what_is_said_of_da3_reaches_the_request() -> None:
    given = _parsed(
        *("--engine", "da3", "--model", "da3-large", "--accept-licence", "CC-BY-NC-4.0"),
        *("--chunk-frames", "20", "--dtype", "fp16", "--process-side", "336"),
    )
    assert da3_options(given) == Da3Options("da3-large", 20, "fp16", "CC-BY-NC-4.0", 336)
    assert da3_options(_parsed("--engine", "da3")) is None


def test_options_of_da3_for_another_engine_are_refused() -> None:
    with pytest.raises(UsageError, match="--engine da3"):
        da3_options(_parsed("--model", "da3-small"))


def test_without_the_depth_service_there_are_no_models(epipar: Epipar) -> None:
    """The stand-in of the depth service has none of its own commands."""
    done = epipar.run("models", "list", "--json")
    assert done.returncode == 7
    assert events_of(done.stdout)[-1]["reason"] == "UNAVAILABLE"


def test_models_are_listed_pulled_and_verified(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the depth service itself, of which this command is only the face."""
    pytest.importorskip("epipar_depth.da3.models", reason="the depth service is not installed")
    from epipar_cli.__main__ import main

    monkeypatch.setenv("EPIPAR_DEPTH_DA3_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("EPIPAR_DEPTH_DA3_OFFLINE", "true")
    monkeypatch.setenv("HF_HOME", str(tmp_path))

    def said(*arguments: str) -> tuple[int, str, str]:
        status = main(["models", *arguments])
        told = capsys.readouterr()
        return status, told.out, told.err

    status, out, _ = said("list")
    assert status == 0
    assert out.splitlines()[0].split()[:3] == ["missing", "da3-base", "Apache-2.0"]
    status, _, err = said("pull")
    assert (status, "WEIGHTS_MISSING" in err) == (5, True)
    status, _, err = said("pull", "da3-giant")
    assert (status, "LICENCE_NOT_ACCEPTED" in err) == (5, True)
    folder = tmp_path / "da3-base"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text(json.dumps({"model_name": "da3-base"}))
    status, out, _ = said("pull")
    assert (status, out.split()[:2]) == (0, ["ready", "da3-base"])
    (folder / "model.safetensors").write_bytes(b"weightz")
    status, _, err = said("verify")
    assert (status, "SHA-256" in err) == (1, True)
    status, _, err = said("pull", "da9")
    assert (status, "BAD_OPTION" in err) == (3, True)
