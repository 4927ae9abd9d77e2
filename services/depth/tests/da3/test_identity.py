"""What a scene depends on is in its content hash: to change any of it is another scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epipar_depth.calibration import Calibration
from epipar_depth.chunks.settings import JoinSettings
from epipar_depth.da3.engine import Da3Engine
from epipar_depth.da3.identity import JOIN, architecture_identity, join_settings
from epipar_depth.da3.registry import load_registry
from epipar_depth.da3.settings import Da3Settings
from epipar_depth.da3.weights import pin_weights
from epipar_depth.engine import Da3Options, DepthOptions, KnownCamera, request_hash
from epipar_scene.cameras import Intrinsics

SOURCE = "0" * 64
PYTHON = """\
#!/bin/sh
echo '{{"missing": [], "version": "{version}"}}'
"""


class _Machine:
    """A machine with one model of its own, whose interpreter says what it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Da3Settings(
            python=str(self.install("1.0")),
            models_dir=folder / "models",
            models_file=folder / "models.json",
            calibration_dir=folder / "calibrations",
            offline=True,
        )
        self.architecture = folder / "mine.yaml"
        self.architecture.write_text("depth: 6\n")
        self.register()
        self.stage(b"weights")

    def install(self, version: str) -> Path:
        """Return an interpreter with this version of the model code."""
        python = self.folder / f"python-{version}"
        python.write_text(PYTHON.format(version=version))
        python.chmod(0o755)
        return python

    def register(self, sky: str = "false") -> None:
        """Write the models file."""
        self.settings_file = self.folder / "models.json"
        self.settings_file.write_text(
            f'[{{"name": "mine", "repo": "", "architecture": "{self.architecture}", '
            f'"licence": "MIT", "summary": "", "sky": {sky}}}]'
        )

    def stage(self, weights: bytes, revision: str = "") -> None:
        """Lay weights down and pin them, whatever was pinned before."""
        (self.settings.models_dir / "models.lock.json").unlink(missing_ok=True)
        folder = self.settings.models_dir / "mine"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.safetensors").write_bytes(weights)
        spec = replace(load_registry(self.settings.models_file)["mine"], revision=revision)
        pin_weights(spec, self.settings, folder)

    def calibrate(self, end: float) -> None:
        """Write a calibration."""
        (self.folder / "calibrations").mkdir(exist_ok=True)
        curve = Calibration("da3", "mine", np.array([0.0, 1.0]), np.array([0.5, end]))
        curve.save(self.folder / "calibrations" / "mine.json")

    def hash(
        self,
        options: Da3Options | None = None,
        join: JoinSettings = JOIN,
        cameras: tuple[KnownCamera, ...] = (),
        **more: Any,
    ) -> str:
        """Return the hash of a request here and now."""
        engine = Da3Engine(self.settings, join)
        given = DepthOptions(da3=options or Da3Options(model="mine"), **more)
        beside = engine.check(given, cameras)
        return request_hash(SOURCE, given, engine.capabilities, beside)


@pytest.fixture
def machine(tmp_path: Path) -> _Machine:
    return _Machine(tmp_path)


def _camera(x: float) -> tuple[KnownCamera, ...]:
    pose = np.eye(4)
    pose[0, 3] = x
    return (KnownCamera(Intrinsics(160, 120, 150.0, 150.0, 80.0, 60.0), pose),)


def _options(**values: Any) -> Callable[[_Machine], str]:
    given = {"model": "mine", **values}
    return lambda machine: machine.hash(Da3Options(**given))


def _after(change: Callable[[_Machine], object]) -> Callable[[_Machine], str]:
    def changed(machine: _Machine) -> str:
        change(machine)
        return machine.hash()

    return changed


def _newer_code(machine: _Machine) -> None:
    machine.settings = replace(machine.settings, python=str(machine.install("1.1")))


CHANGES: dict[str, Callable[[_Machine], str]] = {
    "chunk size": _options(chunk_frames=30),
    "dtype": _options(dtype="bf16"),
    "size of the model's pictures": _options(process_side_px=336),
    "overlap": lambda machine: machine.hash(join=replace(JOIN, overlap_share=0.25)),
    "loops are not closed": lambda machine: machine.hash(join=replace(JOIN, close_loops=False)),
    "tolerance of a joint": lambda machine: machine.hash(join=replace(JOIN, tolerance=0.2)),
    "seed": lambda machine: machine.hash(seed=1),
    "size of the scene's pictures": lambda machine: machine.hash(max_side_px=480),
    "frames": lambda machine: machine.hash(max_frames=20),
    "cameras": lambda machine: machine.hash(cameras=_camera(0.0)),
    "other cameras": lambda machine: machine.hash(cameras=_camera(1.0)),
    "weights": _after(lambda machine: machine.stage(b"weightz")),
    "revision": _after(lambda machine: machine.stage(b"weights", "f" * 40)),
    "architecture": _after(lambda machine: machine.architecture.write_text("depth: 8\n")),
    "what the model tells": _after(lambda machine: machine.register(sky="true")),
    "a calibration": _after(lambda machine: machine.calibrate(0.8)),
    "another calibration": _after(lambda machine: machine.calibrate(0.9)),
    "model code": _after(_newer_code),
}


def test_each_thing_that_changes_the_result_changes_the_hash(tmp_path: Path) -> None:
    hashes = {"nothing": _Machine(_folder(tmp_path, 0)).hash()}
    for number, (name, change) in enumerate(CHANGES.items(), start=1):
        machine = _Machine(_folder(tmp_path, number))
        # The models' folder is another each time, but the architecture's bytes are the same.
        assert machine.hash() == hashes["nothing"]
        hashes[name] = change(machine)
    assert len(set(hashes.values())) == len(hashes), hashes


def _folder(parent: Path, number: int) -> Path:
    folder = parent / str(number)
    folder.mkdir()
    return folder


def test_a_permission_and_what_another_model_has_change_nothing(machine: _Machine) -> None:
    before = machine.hash()
    assert machine.hash(Da3Options(model="mine", accept_licence="MIT")) == before
    curve = Calibration("da3", "da3-base", np.array([0.0, 1.0]), np.array([0.5, 0.8]))
    (machine.folder / "calibrations").mkdir()
    curve.save(machine.folder / "calibrations" / "da3-base.json")
    assert machine.hash() == before


def test_the_default_chunk_is_a_number_and_not_what_a_device_has_free(machine: _Machine) -> None:
    assert machine.hash() == machine.hash(Da3Options(model="mine", chunk_frames=60))
    machine.settings = replace(machine.settings, memory_mib=100)
    assert machine.hash() == machine.hash(Da3Options(model="mine", chunk_frames=60))


def test_a_chunk_of_one_is_joined_in_twos() -> None:
    """The joiner needs one frame of the world and a new one."""
    given = join_settings(JOIN, DepthOptions(seed=7, da3=Da3Options(chunk_frames=1)))
    assert (given.chunk_frames, given.seed) == (2, 7)
    assert asdict(given).keys() == asdict(JOIN).keys()


def test_a_published_architecture_is_its_name() -> None:
    assert architecture_identity("da3-base") == "da3-base"
