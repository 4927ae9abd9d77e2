"""`epipar scenes`: the scenes of a running suite."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from epipar_cli.connect import remote_client
from epipar_cli.output import Reporter, jsonable
from epipar_cli.remote import page_of, scene_name_of
from epipar_client import EpiparClient, Scene


async def run(arguments: Namespace, reporter: Reporter) -> None:
    """List, show or delete scenes as the command line says.

    Raises:
        EpiparError: it failed.
    """
    async with remote_client(arguments) as client:
        match arguments.action:
            case "show":
                await _show(client, scene_name_of(arguments.scene), reporter)
            case "delete":
                await _delete(client, arguments.scene, reporter)
            case _:
                await _list(client, arguments, reporter)


async def _list(client: EpiparClient, arguments: Namespace, reporter: Reporter) -> None:
    found = client.list_scenes(states=arguments.state or (), query=arguments.query)
    scenes = [scene async for scene in found]
    width = max((len(scene.name) for scene in scenes), default=0)
    lines = [
        f"{scene.name:<{width}}  {scene.state:<14} {scene.registered_frames:>5} frames  "
        f"{_day(scene)}  {scene.display_name}"
        for scene in scenes
    ]
    text = "\n".join(lines) or f"no scenes; make one: {client.base_url}, or epipar reconstruct"
    facts = [{**asdict(scene), "url": page_of(client, scene.name)} for scene in scenes]
    reporter.result(text, jsonable({"kind": "scenes", "scenes": facts}))


async def _show(client: EpiparClient, name: str, reporter: Reporter) -> None:
    scene = await client.get_scene(name)
    url = page_of(client, name)
    lines = [
        f"scene     {scene.name}",
        f"name      {scene.display_name}",
        f"state     {scene.state}",
        f"frames    {scene.registered_frames} with a pose and depth",
        f"look      {url}",
    ]
    for export in scene.exports:
        lines += [_file(f"export {export.name}", artifact) for artifact in export.artifacts]
    for completion in scene.completions:
        lines.append(f"completion {completion.name} by {completion.engine}")
        for export in completion.exports:
            where = f"completion {completion.name}, export {export.name}"
            lines += [_file(where, artifact) for artifact in export.artifacts]
    reporter.result("\n".join(lines), jsonable({"kind": "scene", **asdict(scene), "url": url}))


async def _delete(client: EpiparClient, names: list[str], reporter: Reporter) -> None:
    resolved = [scene_name_of(name) for name in names]
    for name in resolved:
        await client.delete_scene(name)
    text = "\n".join(f"deleted   {name}" for name in resolved)
    reporter.result(text, {"kind": "deleted", "scenes": resolved})


def _file(where: str, artifact: object) -> str:
    size = getattr(artifact, "size_bytes", 0) / 1e6
    return f"file      {where}: {getattr(artifact, 'uri', '')}  {size:.2f} MB"


def _day(scene: Scene) -> str:
    return f"{scene.create_time:%Y-%m-%d %H:%M}" if scene.create_time else ""
