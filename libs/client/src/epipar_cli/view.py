"""`epipar view`: a scene, an export, a tileset or a GLB in the browser."""

from __future__ import annotations

import tempfile
from argparse import Namespace
from pathlib import Path

from epipar_cli.browser import open_page
from epipar_cli.connect import remote_client
from epipar_cli.output import Reporter
from epipar_cli.process import ServiceProcess
from epipar_cli.remote import page_of, scene_name_of
from epipar_cli.services import FILES
from epipar_cli.view_page import View, view_of
from epipar_client import NotReadyError


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
