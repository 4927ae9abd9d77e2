"""`epipar masks` and `epipar complete` on a scene folder, over real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Epipar, events_of


@pytest.fixture
def scene(epipar: Epipar) -> Path:
    folder = epipar.folder / "scenes" / "kitchen"
    folder.mkdir(parents=True)
    (folder / "scene.json").write_text("{}")
    return folder


def test_masks_go_into_the_scene(epipar: Epipar, scene: Path) -> None:
    done = epipar.run("masks", "scenes/kitchen", "--name", "strict")
    assert done.returncode == 0, done.stderr
    assert (scene / "masks" / "strict" / "masks.json").exists()
    assert f"masks     {scene}/masks/strict" in done.stdout
    assert "30.0 % of all pixels are missing" in done.stdout
    epipar.assert_all_services_ended(timeout_s=0)


def test_a_completion_goes_into_the_scene_and_is_exported(epipar: Epipar, scene: Path) -> None:
    done = epipar.run("complete", "scenes/kitchen")
    assert done.returncode == 0, done.stderr
    completion = scene / "completions" / "default"
    assert (completion / "completion.json").exists()
    assert (completion / "exports" / "default" / "export.json").exists()
    assert "700 pixels reprojected (70.0 %)" in done.stdout
    assert f"epipar view {completion}" in done.stdout
    epipar.assert_all_services_ended(timeout_s=0)


def test_json_has_what_was_filled(epipar: Epipar, scene: Path) -> None:
    done = epipar.run("complete", scene, "--name", "mine", "--json")
    result = events_of(done.stdout)[-1]
    assert (result["event"], result["filled"]) == ("result", {"reprojected": 700, "plane": 300})
    assert result["path"] == str(scene / "completions" / "mine")


def test_masks_of_ones_own_are_staged_and_cleared_away(epipar: Epipar, scene: Path) -> None:
    masks = epipar.folder / "my masks"
    masks.mkdir()
    (masks / "frame_00001.png").write_bytes(b"png")
    done = epipar.run("complete", scene, "--intent", "remove", "--mask-dir", masks)
    assert done.returncode == 0, done.stderr
    assert [entry.name for entry in scene.parent.iterdir()] == ["kitchen"]
    missing = epipar.run("complete", scene, "--intent", "remove", "--mask-dir", "nothing")
    assert missing.returncode == 4
    assert "--mask-dir 'nothing' is not a folder" in missing.stderr


@pytest.mark.parametrize("command", ["masks", "complete"])
def test_a_scene_that_is_not_here_names_the_way_out(epipar: Epipar, command: str) -> None:
    done = epipar.run(command, "nothing")
    assert done.returncode == 4
    assert "with --address HOST:PORT it names a scene of that suite" in done.stderr
