"""`epipar view`: a scene, an export, a tileset or a GLB in the browser."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

from epipar_cli.browser import open_page
from epipar_cli.connect import remote_client
from epipar_cli.output import Reporter
from epipar_cli.process import ServiceProcess
from epipar_cli.remote import page_of, scene_name_of
from epipar_cli.services import FILES
from epipar_client import InvalidInputError, NotFoundError, NotReadyError

TILESET = "tileset.json"
TRANSFORMS = "transforms.json"


@dataclass(frozen=True, slots=True)
class View:
    """What is shown, and the folder that is served for it.

    Attributes:
        root: absolute path of the folder; nothing outside of it is served.
        src: the tileset or GLB in it.
        cameras: the transforms.json in it, where there is one.
        title: for a person.
    """

    root: Path
    src: Path
    cameras: Path | None
    title: str

    def page(self, address: str) -> str:
        """Return the viewer's address, served at "host:port"."""
        facts = {"src": self._url(self.src)}
        if self.cameras is not None:
            facts["cameras"] = self._url(self.cameras)
        facts["title"] = self.title
        return f"http://{address}/#/view?{urlencode(facts, quote_via=quote, safe='/')}"

    def _url(self, path: Path) -> str:
        return f"/files/{quote(path.relative_to(self.root).as_posix())}"


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """Print where to look, and serve it until told to stop.

    Raises:
        EpiparError: there is nothing to look at, or it cannot be served.
    """
    if arguments.address:
        async with remote_client(arguments) as client:
            scene = await client.get_scene(scene_name_of(arguments.scene))
            url = page_of(client, scene.name)
        reporter.result(url, {"kind": "view", "scene": scene.name, "url": url})
        if arguments.open:
            open_page(url)
        return
    await _serve(view_of(Path(arguments.scene)), arguments, reporter)


async def _serve(view: View, arguments: Namespace, reporter: Reporter) -> None:
    with tempfile.TemporaryDirectory(prefix="epipar-view-") as place:
        process = await ServiceProcess.start(
            FILES,
            store=view.root,
            log=Path(place) / "files.log",
            arguments=("--root", str(view.root), "--port", str(arguments.port)),
        )
        try:
            url = view.page(process.address)
            reporter.ready(
                f"{view.title}: {url}\nCtrl-C ends it",
                {"url": url, "address": process.address, "root": str(view.root)},
            )
            if arguments.open:
                open_page(url)
            status = await process.wait()
            raise NotReadyError(f"the file server ended with status {status}", reason="WORKER_DIED")
        finally:
            await process.stop()


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
    glbs = sorted(path.glob("*.glb"), key=lambda file: file.stat().st_size)
    if glbs:
        return _view_of_file(glbs[-1])
    raise InvalidInputError(
        f"{str(path)!r} is neither a scene folder nor an export: it has no {TRANSFORMS}, no "
        f"{TILESET} and no .glb",
        reason="BAD_REQUEST",
        field="scene",
    )


def _view_of_scene(scene: Path) -> View:
    exports = sorted(scene.glob(f"exports/*/{TILESET}"), key=_default_first)
    exports += sorted(scene.glob("exports/*/*.glb"), key=_default_first)
    if not exports:
        raise NotReadyError(
            f"{str(scene)!r} has no export yet; make one: epipar export {scene}",
            reason="SCENE_INCOMPLETE",
        )
    return View(scene, exports[0], scene / TRANSFORMS, _title_of(scene))


def _view_of_file(file: Path) -> View:
    """Show a file; with its scene's cameras where it lies in a scene's exports."""
    if file.suffix.lower() != ".glb" and file.name != TILESET:
        raise InvalidInputError(
            f"{str(file)!r} is neither a {TILESET} nor a .glb", reason="BAD_REQUEST", field="scene"
        )
    scene = file.parents[2] if len(file.parents) > 2 else file.parent
    if file.parents[1].name == "exports" and (scene / TRANSFORMS).is_file():
        return View(scene, file, scene / TRANSFORMS, _title_of(scene))
    title = file.parent.name if file.name == TILESET else file.name
    return View(file.parent, file, None, title)


def _title_of(scene: Path) -> str:
    """Return a scene's name; a completion's has its scene's before it."""
    if scene.parent.name == "completions":
        return f"{scene.parents[1].name}, completed: {scene.name}"
    return scene.name


def _default_first(path: Path) -> tuple[bool, str]:
    return path.parent.name != "default", str(path)
