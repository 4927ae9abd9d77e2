"""The command line: commands, options and the help that teaches them."""

from __future__ import annotations

from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    RawDescriptionHelpFormatter,
    _SubParsersAction,
)
from collections.abc import Callable

from epipar_cli.export import DROP_PRESETS, drop_percent
from epipar_client import __version__

DEFAULT_DATA = "epipar-data"

_DESCRIPTION = "Turn videos and photos into 3D scenes, and scenes into files for the browser."
_EPILOG = """\
examples:
  epipar doctor                              is this machine ready?
  epipar reconstruct clip.mp4 -o kitchen     video -> scene folder kitchen/
  epipar export kitchen                      -> kitchen/exports/default/
  epipar demo                                the sample, compared with the truth
  epipar up                                  the services, for other programs

exit codes:
  0 done   2 wrong command line   3 the input is at fault   4 not found   5 exists, busy or not
  ready   6 out of memory, disk or room   7 no service answers   130 Ctrl-C   143 told to stop
  1 anything else
"""
_RECONSTRUCT = """\
Turn a video, or a folder of photos, into a scene folder: images, camera poses, depth, confidence.

Without --address the work is done here, by a service that is started for it; its store is the
folder that SCENE_DIR lies in. An input elsewhere is hard-linked (or copied, on another disk) beside
the scene as .SCENE_DIR.input/ and removed afterwards. A run that was stopped, even by kill -9, goes
on where it was when the same command is given again.

With --address a running suite does the work: then SCENE_DIR is a key in its store, and INPUT too,
unless INPUT exists here: at most 16 local images (16 MiB) are sent along.
"""
_RECONSTRUCT_EXAMPLES = """\
examples:
  epipar reconstruct clip.mp4 -o kitchen
  epipar reconstruct photos/ -o scenes/garden --max-frames 80
  epipar reconstruct clip.mp4 -o kitchen --json | jq -c 'select(.event == "result")'
  epipar reconstruct uploads/clip.mp4 -o scenes/kitchen --address 127.0.0.1:50051
"""
_EXPORT = """\
Turn a scene folder into point clouds: three levels as GLB, a 3D Tiles octree, and PLY.

Without -o the files go into SCENE_DIR/exports/default. With -o DIR they go into DIR; the service
that is started for it then works on the deepest folder that holds both SCENE_DIR and DIR.
With --address a running suite does the work, and SCENE_DIR and DIR are keys in its store.
"""
_EXPORT_EXAMPLES = """\
examples:
  epipar export kitchen
  epipar export kitchen -o web/kitchen --codec meshopt --bits 12 --drop standard
  epipar export kitchen -o small --full-points 500000 --no-ply --remove-outliers
"""
_UP = """\
Start the services on this machine's loopback and keep them running until Ctrl-C.

Prints one line when all of them serve. A default port that is taken is replaced by a free one. A
service that crashes is started again at its address. DIR/store is the artifact store, DIR/logs has
one log a service.
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
    _add_reconstruct(commands)
    _add_export(commands)
    _add_demo(commands)
    _add_doctor(commands)
    return parser


def _command(
    commands: _SubParsersAction[ArgumentParser],
    name: str,
    summary: str,
    text: str,
    epilog: str = "",
) -> ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog=epilog,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    return parser


def _add_up(commands: _SubParsersAction[ArgumentParser]) -> None:
    parser = _command(commands, "up", "start the services and keep them running", _UP)
    parser.add_argument("--data", default=DEFAULT_DATA, metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--grace",
        type=_seconds_up_to(3600),
        default=10.0,
        metavar="SECONDS",
        help="how long calls that run may take to end on Ctrl-C; default: %(default)g",
    )


def _add_reconstruct(commands: _SubParsersAction[ArgumentParser]) -> None:
    parser = _command(
        commands, "reconstruct", "video or photos -> scene", _RECONSTRUCT, _RECONSTRUCT_EXAMPLES
    )
    parser.add_argument("input", metavar="INPUT", help="a video, or a folder of images")
    parser.add_argument("-o", "--output", required=True, metavar="SCENE_DIR")
    parser.add_argument("--engine", help="mvs (the default, any machine) or da3 (GPU)")
    parser.add_argument("--max-frames", type=int, metavar="N", help="most frames; default 300")
    parser.add_argument("--max-side", type=int, metavar="PX", help="longer side of the images")
    parser.add_argument("--seed", type=int, metavar="N", help="of everything random; default 0")
    _add_remote(parser)


def _add_export(commands: _SubParsersAction[ArgumentParser]) -> None:
    parser = _command(commands, "export", "scene -> GLB, 3D Tiles, PLY", _EXPORT, _EXPORT_EXAMPLES)
    parser.add_argument("scene", metavar="SCENE_DIR", help="a finished scene folder")
    parser.add_argument("-o", "--output", metavar="DIR", help="where the files go")
    parser.add_argument("--codec", metavar="NAME", help="meshopt (the default), draco or none")
    parser.add_argument(
        "--bits", type=int, metavar="N", help="of a coordinate, 8 to 16; default 14"
    )
    for level, default in (("preview", "100 000"), ("medium", "1 000 000"), ("full", "10 000 000")):
        parser.add_argument(
            f"--{level}-points", type=int, metavar="N", help=f"most points; default {default}"
        )
    parser.add_argument(
        "--drop",
        type=drop_percent,
        metavar="PRESET|P,M,F",
        help="percent of the least confident points to leave out of preview, medium, full: "
        f"{' or '.join(DROP_PRESETS)} (20,10,3), or numbers; default none",
    )
    parser.add_argument("--min-confidence", type=float, metavar="C", help="global cut, 0 to 1")
    parser.add_argument("--remove-outliers", action="store_true", help="drop stray points first")
    parser.add_argument("--no-glb", action="store_true", help="leave the GLBs out")
    parser.add_argument("--no-tiles", action="store_true", help="leave the 3D Tiles out")
    parser.add_argument("--no-ply", action="store_true", help="leave cloud.ply out")
    parser.add_argument("--meshopt-extension", choices=("KHR", "EXT"), help="EXT: older readers")
    parser.add_argument(
        "--precompress",
        action="append",
        choices=("zstd", "br"),
        help="also write .zst or .br siblings for HTTP; may be given twice",
    )
    _add_remote(parser)


def _add_demo(commands: _SubParsersAction[ArgumentParser]) -> None:
    text = "Reconstruct and export the sample clip, compare it with its ground truth and draw a picture."
    parser = _command(commands, "demo", "the sample, compared with the truth", text)
    parser.add_argument("--sample", metavar="DIR", help="default: the repository's examples/sample")
    parser.add_argument(
        "-o", "--output", default="demo", metavar="DIR", help="default: %(default)s"
    )


def _add_doctor(commands: _SubParsersAction[ArgumentParser]) -> None:
    text = "Look at this machine: Python, packages, engines, cores, memory, disk, ports, GPU."
    parser = _command(commands, "doctor", "is this machine ready?", text)
    parser.add_argument("--data", default=DEFAULT_DATA, metavar="DIR", help="default: %(default)s")


def _add_remote(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("running suite")
    group.add_argument("--address", metavar="HOST:PORT", help="use this service, start none")
    group.add_argument(
        "--timeout", type=_seconds_up_to(10**7), metavar="SECONDS", help="with --address"
    )
    group.add_argument("--tls", action="store_true", help="encrypt, trusting the system")
    group.add_argument("--ca", metavar="PEM", help="encrypt, trusting these authorities")
    group.add_argument("--cert", metavar="PEM", help="this client's certificate")
    group.add_argument("--key", metavar="PEM", help="and its private key")
    group.description = "EPIPAR_TOKEN in the environment is sent as a bearer token."


def _seconds_up_to(limit: int) -> Callable[[str], float]:
    def seconds(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= limit:
            raise ArgumentTypeError(f"{text!r} must be 0 to {limit} seconds")
        return value

    return seconds
