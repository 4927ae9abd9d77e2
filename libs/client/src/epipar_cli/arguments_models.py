"""The command line of `epipar models`, and what `epipar reconstruct` takes for the engine "da3"."""

from __future__ import annotations

from argparse import ArgumentParser, _ActionsContainer

from epipar_cli.arguments_common import Commands, add_command

_MODELS = """\
The models of the engine da3 on this machine: which there are, which are here, and whether they are
what they were when they were first pulled.

pull takes weights that lie here already (in EPIPAR_DEPTH_DA3_MODELS_DIR/MODEL, or in the hub's
cache), else asks the hub, and pins revision and SHA-256 in models.lock.json; every later load is
compared with the pin. verify hashes the files of all pinned models, or of those named. No service
ever downloads anything.
"""
_EXAMPLES = """\
examples:
  epipar models list
  epipar models pull                         the default, da3-base
  epipar models pull da3-large --accept-licence CC-BY-NC-4.0
  EPIPAR_DEPTH_DA3_OFFLINE=true epipar models pull da3-base     pin what was laid down by hand
  epipar models verify
"""


def add_models(commands: Commands) -> None:
    """Add `epipar models`."""
    parser = add_command(commands, "models", "weights of the engine da3", _MODELS, _EXAMPLES)
    parser.add_argument("action", choices=("list", "pull", "verify"))
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", help="default: all, for pull da3-base"
    )
    _add_licence(parser)


def add_da3(parser: ArgumentParser) -> None:
    """Add the options of the engine "da3"."""
    group = parser.add_argument_group("engine da3")
    group.add_argument("--model", metavar="NAME", help="see epipar models list; default da3-base")
    _add_licence(group)
    group.add_argument(
        "--chunk-frames",
        type=int,
        metavar="N",
        help="most images in one pass; default 60, halved while memory does not allow it",
    )
    group.add_argument(
        "--dtype", choices=("bf16", "fp16", "fp32"), help="default: the device's best"
    )
    group.add_argument(
        "--process-side",
        type=int,
        metavar="PX",
        help="longer side of what the model sees, a multiple of 14; default 504",
    )


def _add_licence(parser: _ActionsContainer) -> None:
    parser.add_argument(
        "--accept-licence",
        metavar="SPDX",
        help="accept this licence of the weights, for example CC-BY-NC-4.0",
    )
