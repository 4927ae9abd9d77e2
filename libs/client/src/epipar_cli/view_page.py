"""What `epipar view` finds at a path, and the address of the page that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from epipar_client import InvalidInputError, NotFoundError, NotReadyError

TILESET = "tileset.json"
TRANSFORMS = "transforms.json"
POINTS = (TILESET, "scene_full.glb", "scene_medium.glb", "scene_preview.glb")
SURFACES = ("surface_medium.glb", "surface_full.glb", "surface_preview.glb")
"""The best for a page first: "full" may be as large as the scene."""
MOST = 50
"""Exports that one page offers."""


@dataclass(frozen=True, slots=True)
class View:
    """What is shown, and the folder that is served for it.

    Attributes:
        root: absolute path of the folder; nothing outside of it is served.
        sources: tilesets or GLBs in it, the one to show first at the head.
        surfaces: GLBs of triangles in it; each belongs to the source in the same folder.
        cameras: the transforms.json in it, where there is one.
        title: for a person.
    """

    root: Path
    sources: tuple[Path, ...]
    surfaces: tuple[Path, ...]
    cameras: Path | None
    title: str

    def page(self, address: str) -> str:
        """Return the viewer's address, served at "host:port"."""
        facts = [("src", self._url(path)) for path in self.sources]
        facts += [("surface", self._url(path)) for path in self.surfaces]
        if self.cameras is not None:
            facts.append(("cameras", self._url(self.cameras)))
        facts.append(("title", self.title))
        return f"http://{address}/#/view?{urlencode(facts, quote_via=quote, safe='/')}"

    def _url(self, path: Path) -> str:
        return f"/files/{quote(path.relative_to(self.root).as_posix())}"


def view_of(path: Path) -> View:
    """Find out what a path has to show.

    Args:
        path: a scene folder or a completion, an export folder, a tileset.json or a .glb.

    Raises:
        NotFoundError: there is no such path.
        NotReadyError: it is a scene without an export.
        InvalidInputError: it is something else.
    """
    if not path.exists():
        raise NotFoundError(
            f"{str(path)!r} does not exist; with --address HOST:PORT it names a scene of that "
            "suite",
            reason="NOT_FOUND",
        )
    path = path.resolve()
    if path.is_file():
        return _view_of_file(path)
    if (path / TILESET).is_file():
        return _view_of_file(path / TILESET)
    if (path / TRANSFORMS).is_file():
        return _view_of_scene(path)
    source = _source_of(path)
    if source is not None:
        return _view_of_file(source)
    raise InvalidInputError(
        f"{str(path)!r} is neither a scene folder nor an export: it has no {TRANSFORMS}, no "
        f"{TILESET} and no .glb",
        reason="BAD_REQUEST",
        field="scene",
    )


def _view_of_scene(scene: Path) -> View:
    """Show all exports of a scene: "default" first, those of its completions last."""
    folders = _exports_of(scene)
    for completion in sorted(scene.glob(f"completions/*/{TRANSFORMS}"), key=_default_first):
        folders += _exports_of(completion.parent)
    sources = [source for folder in folders if (source := _source_of(folder))]
    if not sources:
        raise NotReadyError(
            f"{str(scene)!r} has no export yet; make one: epipar export {scene}",
            reason="SCENE_INCOMPLETE",
        )
    return _view(scene, tuple(sources[:MOST]), scene / TRANSFORMS, _title_of(scene))


def _view_of_file(file: Path) -> View:
    """Show a file; with its scene's cameras where it lies in a scene's exports."""
    if file.suffix.lower() != ".glb" and file.name != TILESET:
        raise InvalidInputError(
            f"{str(file)!r} is neither a {TILESET} nor a .glb", reason="BAD_REQUEST", field="scene"
        )
    scene = file.parents[2] if len(file.parents) > 2 else file.parent
    if file.parents[1].name == "exports" and (scene / TRANSFORMS).is_file():
        return _view(scene, (file,), scene / TRANSFORMS, _title_of(scene))
    title = file.parent.name if file.name == TILESET else file.name
    return _view(file.parent, (file,), None, title)


def _view(root: Path, sources: tuple[Path, ...], cameras: Path | None, title: str) -> View:
    """Put the surfaces that were exported with them beside the sources."""
    found = (_first_of(source.parent, SURFACES) for source in sources if source.name in POINTS)
    return View(root, sources, tuple(path for path in found if path), cameras, title)


def _exports_of(scene: Path) -> list[Path]:
    folders = [folder for folder in scene.glob("exports/*") if folder.is_dir()]
    return sorted(folders, key=lambda folder: (folder.name != "default", folder.name))


def _source_of(folder: Path) -> Path | None:
    """Return what shows an export best: its tiles, else its largest GLB, of points if it has any."""
    return _first_of(folder, POINTS) or max(
        folder.glob("*.glb"), key=lambda file: file.stat().st_size, default=None
    )


def _first_of(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _title_of(scene: Path) -> str:
    """Return a scene's name; a completion's has its scene's before it."""
    if scene.parent.name == "completions":
        return f"{scene.parents[1].name}, completed: {scene.name}"
    return scene.name


def _default_first(path: Path) -> tuple[bool, str]:
    return path.parent.name != "default", str(path)
