"""`epipar view` finds what a path has to show, serves it, and leaves nothing behind."""

from __future__ import annotations

import signal
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from epipar_cli.view_page import view_of
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
        "exports/a/surface_full.glb",
        "exports/a/surface_medium.glb",
        "completions/chairs/transforms.json",
        "completions/chairs/exports/default/tileset.json",
        "completions/default/transforms.json",
        "completions/default/exports/default/tileset.json",
        "completions/default/exports/default/surface_preview.glb",
        "completions/unfinished/exports/default/tileset.json",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize(
    ("path", "src", "surface"),
    [
        ("exports/a", "exports/a/tileset.json", "exports/a/surface_medium.glb"),
        ("exports/default/scene_full.glb", "exports/default/scene_full.glb", None),
        ("exports/a/tileset.json", "exports/a/tileset.json", "exports/a/surface_medium.glb"),
        ("exports/a/surface_full.glb", "exports/a/surface_full.glb", None),
    ],
)
def test_a_part_of_a_scene_is_shown_with_its_surface_and_the_cameras(
    scene: Path, path: str, src: str, surface: str | None
) -> None:
    view = view_of(scene / path)
    assert (view.root, view.sources) == (scene, (scene / src,))
    assert view.surfaces == (() if surface is None else (scene / surface,))
    assert view.cameras == scene / "transforms.json"


def test_a_scene_offers_its_exports_and_finished_completions(scene: Path) -> None:
    view = view_of(scene)
    assert [path.relative_to(scene).as_posix() for path in view.sources] == [
        "exports/default/tileset.json",
        "exports/a/tileset.json",
        "completions/default/exports/default/tileset.json",
        "completions/chairs/exports/default/tileset.json",
    ]
    assert [path.relative_to(scene).as_posix() for path in view.surfaces] == [
        "exports/a/surface_medium.glb",
        "completions/default/exports/default/surface_preview.glb",
    ]
    assert view.cameras == scene / "transforms.json"


def test_a_completion_alone_serves_its_own_folder(scene: Path) -> None:
    completion = scene / "completions/default"
    view = view_of(completion)
    assert view.root == completion
    assert view.sources == (completion / "exports/default/tileset.json",)
    assert view.surfaces == (completion / "exports/default/surface_preview.glb",)
    assert view.title == "Küche & Bad, completed: default"


def test_a_folder_of_surfaces_alone_shows_the_largest(tmp_path: Path) -> None:
    for name, size in (("surface_preview.glb", 1), ("surface_full.glb", 9)):
        (tmp_path / name).write_bytes(b"g" * size)
    view = view_of(tmp_path)
    assert (view.sources, view.surfaces) == ((tmp_path / "surface_full.glb",), ())


def test_a_lone_file_serves_its_folder_alone(tmp_path: Path) -> None:
    glb = tmp_path / "downloads" / "model.glb"
    glb.parent.mkdir()
    glb.write_bytes(b"glTF")
    view = view_of(glb)
    assert (view.root, view.sources, view.surfaces) == (glb.parent, (glb,), ())
    assert (view.cameras, view.title) == (None, "model.glb")
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
        assert fragment.startswith("/view?src=/files/exports/default/tileset.json&src=")
        facts = parse_qs(fragment.partition("?")[2])
        assert [len(facts[key]) for key in ("src", "surface", "cameras")] == [4, 2, 1]
        assert facts["title"] == ["Küche & Bad"]
        for path in (*facts["src"], *facts["surface"], *facts["cameras"]):
            url = f"http://{ready['address']}{path}"
            with urllib.request.urlopen(url, timeout=120) as answer:
                assert answer.read() == b"{}"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    epipar.assert_all_services_ended(timeout_s=0)
    assert list((epipar.folder / ".tmp").iterdir()) == []
