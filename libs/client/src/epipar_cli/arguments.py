"""The command line: commands, options and the help that teaches them."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter

from epipar_cli.arguments_common import DEFAULT_DATA, Commands, add_command, port, seconds_up_to
from epipar_cli.arguments_models import add_models
from epipar_cli.arguments_suite import add_jobs, add_scenes, add_view
from epipar_cli.arguments_work import add_complete, add_export, add_masks, add_reconstruct
from epipar_cli.suite import DEFAULT_PORT
from epipar_client import __version__

_DESCRIPTION = "Turn videos and photos into 3D scenes that stream to a browser."
_EPILOG = """\
examples:
  epipar doctor                              is this machine ready?
  epipar demo                                the sample, reconstructed, completed, in the browser
  epipar up                                  the whole suite: open the address, drop a video

  epipar reconstruct clip.mp4 -o kitchen     video -> scene folder kitchen/
  epipar export kitchen                      -> kitchen/exports/default/
  epipar complete kitchen                    -> kitchen/completions/default/
  epipar view kitchen                        in the browser

  epipar reconstruct clip.mp4 -o kitchen --address 127.0.0.1:8080     by a running suite
  epipar jobs                                what it does

exit codes:
  0 done   2 wrong command line   3 the input is at fault   4 not found   5 exists, busy or not
  ready   6 out of memory, disk or room   7 no service answers   130 Ctrl-C   143 told to stop
  1 anything else
"""
_UP = """\
Start the suite on this machine's loopback and keep it running until Ctrl-C: compute services,
gateway, and Envoy as the one address of all.

Prints one line when all of it answers. A default port that is taken is replaced by a free one. A
part that crashes is started again at its address, and jobs go on. A part that is not installed is
left out, and told. DIR/store is the artifact store, DIR/gateway has the databases, DIR/logs one log
a part, cut at 10 MiB.
"""
_UP_EXAMPLES = """\
examples:
  epipar up --open
  epipar up --port 9000 --data /srv/epipar
  epipar up --json | jq -r 'select(.event == "ready").address'
  EPIPAR_GATEWAY_JOB_RETENTION_DAYS=7 epipar up     settings of a part are variables
"""
_DEMO = """\
Start a suite on DIR, have it reconstruct, complete and export the sample clip, compare the scene
with its ground truth, draw a picture, and serve the viewer until Ctrl-C.

What exists already is not made again: a second run answers at once.
"""
_DEMO_EXAMPLES = """\
examples:
  epipar demo
  epipar demo --no-serve --json | jq 'select(.event == "result").score'
"""


def build_parser() -> ArgumentParser:
    """Build the parser of all commands; the chosen one is in `command`."""
    parser = ArgumentParser(
        prog="epipar",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"epipar {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_up(commands)
    add_reconstruct(commands)
    add_export(commands)
    add_masks(commands)
    add_complete(commands)
    add_view(commands)
    add_scenes(commands)
    add_jobs(commands)
    add_models(commands)
    _add_demo(commands)
    _add_doctor(commands)
    return parser


def _add_up(commands: Commands) -> None:
    parser = add_command(commands, "up", "start the suite and keep it running", _UP, _UP_EXAMPLES)
    parser.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help="of the one address; default: %(default)s"
    )
    parser.add_argument("--data", default=DEFAULT_DATA, metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--store",
        default="",
        metavar="URL",
        help="artifacts elsewhere: s3://BUCKET/PREFIX (with AWS_* or EPIPAR_STORE_S3_*); "
        "default: DIR/store",
    )
    parser.add_argument("--open", action="store_true", help="open it in the browser")
    parser.add_argument(
        "--grace",
        type=seconds_up_to(3600),
        default=10.0,
        metavar="SECONDS",
        help="how long calls that run may take to end on Ctrl-C; default: %(default)g",
    )


def _add_demo(commands: Commands) -> None:
    parser = add_command(
        commands, "demo", "the sample, from clip to browser", _DEMO, _DEMO_EXAMPLES
    )
    parser.add_argument("--sample", metavar="DIR", help="default: the repository's examples/sample")
    parser.add_argument(
        "-o", "--output", default="demo", metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help="of the viewer; default: %(default)s"
    )
    parser.add_argument("--open", action="store_true", help="open the viewer in the browser")
    parser.add_argument("--no-serve", action="store_true", help="end when the scene is finished")


def _add_doctor(commands: Commands) -> None:
    text = (
        "Look at this machine: Python, packages, engines, models and their licences, Envoy, viewer, "
        "memory, disk, ports, GPU."
    )
    parser = add_command(commands, "doctor", "is this machine ready?", text)
    parser.add_argument("--data", default=DEFAULT_DATA, metavar="DIR", help="default: %(default)s")
