"""`epipar view` finds what a path has to show, serves it, and leaves nothing behind."""

from __future__ import annotations

import signal
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from epipar_cli.view import view_of
from epipar_client import InvalidInputError, NotFoundError, NotReadyError

from .conftest import Epipar, read_until


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    folder = tmp_path / "Küche & Bad"
    for name in (
        "transforms.json",
        "exports/default/tileset.json",
        "exports/default/scene_full.glb",
        "exports/a/tileset.json",
        "completions/default/transforms.json",
        "completions/default/exports/default/tileset.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("path", "root", "src", "cameras"),
    [
        ("", "", "exports/default/tileset.json", True),
        ("exports/a", "", "exports/a/tileset.json", True),
        ("exports/default/scene_full.glb", "", "exports/default/scene_full.glb", True),
        ("exports/a/tileset.json", "", "exports/a/tileset.json", True),
        (
            "completions/default",
            "completions/default",
            "completions/default/exports/default/tileset.json",
            True,
        ),
    ],
)
def test_every_kind_of_path_has_something_to_show(
    scene: Path, path: str, root: str, src: str, cameras: bool
) -> None:
    view = view_of(scene / path)
    assert (view.root, view.src) == (scene / root, scene / src)
    assert view.cameras == (scene / root / "transforms.json" if cameras else None)


def test_a_lone_file_serves_its_folder_alone(tmp_path: Path) -> None:
    glb = tmp_path / "downloads" / "model.glb"
    glb.parent.mkdir()
    glb.write_bytes(b"glTF")
    view = view_of(glb)
    assert (view.root, view.src, view.cameras, view.title) == (glb.parent, glb, None, "model.glb")
    assert view_of(glb.parent) == view


def test_what_cannot_be_shown_names_the_way_out(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="--address"):
        view_of(tmp_path / "nothing")
    with pytest.raises(InvalidInputError, match=r"neither a scene folder nor an export"):
        view_of(tmp_path)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "transforms.json").write_text("{}")
    with pytest.raises(NotReadyError, match="epipar export"):
        view_of(tmp_path / "bare")
    with pytest.raises(InvalidInputError, match=r"nor a \.glb"):
        view_of(scene / "transforms.json")


def test_the_address_shows_the_scene_until_ctrl_c(epipar: Epipar, scene: Path) -> None:
    with epipar.popen("view", scene, "--json") as process:
        ready = read_until(process, "ready")
        fragment = urlsplit(ready["url"]).fragment
        assert fragment.startswith("/view?src=/files/exports/default/tileset.json&cameras=")
        facts = parse_qs(fragment.partition("?")[2])
        assert facts["title"] == ["Küche & Bad"]
        for key in ("src", "cameras"):
            url = f"http://{ready['address']}{facts[key][0]}"
            with urllib.request.urlopen(url, timeout=30) as answer:
                assert answer.read() == b"{}"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    epipar.assert_all_services_ended(timeout_s=0)
    assert list((epipar.folder / ".tmp").iterdir()) == []
