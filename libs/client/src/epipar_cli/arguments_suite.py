"""The commands that look: view, scenes, jobs."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from typing import get_args

from epipar_cli.arguments_common import (
    Commands,
    add_address,
    add_command,
    add_interrupt,
    add_json,
    port,
)
from epipar_client.job_types import JobState
from epipar_client.scene_types import SceneState

_VIEW = """\
Show a scene in the browser: a scene folder or a completion of it, an export folder, a tileset.json
or a .glb. The address is printed and served until Ctrl-C; nothing outside of that folder is.

The page of a scene folder offers all of its exports and completions, and a slider that compares a
completion with what was before. Where an export has a surface (epipar export --surface), the page
shows points, the surface or both, lit or not.

With --address SCENE is one of a running suite, and its page is printed.
"""
_VIEW_EXAMPLES = """\
examples:
  epipar view kitchen --open
  epipar view kitchen/completions/default    alone
  epipar view downloads/scene_medium.glb
  epipar view kitchen --address 127.0.0.1:8080
"""
_SCENES = "The scenes of a running suite. Without a word more: a list, newest first."
_SCENES_EXAMPLES = """\
examples:
  epipar scenes
  epipar scenes list --state ready --query kitchen --json
  epipar scenes show kitchen
  epipar scenes delete kitchen garden
"""
_JOBS = "The jobs of a running suite. Without a word more: a list, newest first."
_JOBS_EXAMPLES = """\
examples:
  epipar jobs
  epipar jobs list --scene kitchen --state running --state queued
  epipar jobs watch jobs/abc                 to its end; Ctrl-C leaves it running
  epipar jobs cancel jobs/abc
  epipar jobs retry jobs/abc                 what is left of it, as a new job
"""


def add_view(commands: Commands) -> None:
    """Add `epipar view`."""
    parser = add_command(
        commands, "view", "a scene, tileset or GLB in the browser", _VIEW, _VIEW_EXAMPLES
    )
    parser.add_argument("scene", metavar="DIR|SCENE", help="what to show")
    parser.add_argument("--port", type=port, default=0, help="default: a free one")
    opening = parser.add_mutually_exclusive_group()
    opening.add_argument("--open", action="store_true", help="open it in the browser")
    opening.add_argument(
        "--no-open", dest="open", action="store_false", help="print the address alone (default)"
    )
    add_address(parser)


def add_scenes(commands: Commands) -> None:
    """Add `epipar scenes`."""
    parser = add_command(commands, "scenes", "of a running suite", _SCENES, _SCENES_EXAMPLES)
    add_address(parser, needed=True)
    parser.set_defaults(state=None, query=None)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    parser.set_defaults(action="list")
    listing = _action(actions, "list", "scenes, newest first")
    listing.add_argument(
        "--state", action="append", choices=_known(SceneState), help="may be given twice"
    )
    listing.add_argument("--query", metavar="TEXT", help="only names with this in them")
    show = _action(actions, "show", "one scene and its files")
    show.add_argument("scene", metavar="SCENE")
    delete = _action(actions, "delete", "remove scenes with their files")
    delete.add_argument("scene", metavar="SCENE", nargs="+")


def add_jobs(commands: Commands) -> None:
    """Add `epipar jobs`."""
    parser = add_command(commands, "jobs", "of a running suite", _JOBS, _JOBS_EXAMPLES)
    add_address(parser, needed=True)
    parser.set_defaults(state=None, scene=None, cancel_on_interrupt=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    parser.set_defaults(action="list")
    listing = _action(actions, "list", "jobs, newest first")
    listing.add_argument(
        "--state", action="append", choices=_known(JobState), help="may be given twice"
    )
    listing.add_argument("--scene", metavar="SCENE", help="only jobs of this one")
    watch = _action(actions, "watch", "follow a job to its end")
    watch.add_argument("job", metavar="JOB")
    add_interrupt(watch)
    cancel = _action(actions, "cancel", "stop jobs; what they have finished is kept")
    cancel.add_argument("job", metavar="JOB", nargs="+")
    retry = _action(
        actions, "retry", "start what is left of a failed or cancelled job, and follow it"
    )
    retry.add_argument("job", metavar="JOB")
    add_interrupt(retry)


def _action(actions: Commands, name: str, summary: str) -> ArgumentParser:
    """Add an action; `--json` and `--address` may stand before or after its name."""
    parser = actions.add_parser(
        name,
        help=summary,
        description=summary,
        formatter_class=RawDescriptionHelpFormatter,
        # A default here would cover what was said before the action's name.
        argument_default=SUPPRESS,
    )
    add_json(parser)
    add_address(parser)
    return parser


def _known(states: object) -> tuple[str, ...]:
    return tuple(state for state in get_args(states) if state != "unspecified")
