"""The arguments of `epipar complete` that only the engine "nerfiller" understands."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import fields

from epipar_client import NerfillerOptions


def add_nerfiller(parser: ArgumentParser) -> None:
    """Add the settings of the engine; what is left out is the operator's, else its default."""
    group = parser.add_argument_group("engines nerfiller and nerfiller-upstream")
    group.add_argument(
        "--model-id", metavar="MODEL", help="folder or OWNER/NAME of a diffusers inpainting model"
    )
    group.add_argument(
        "--nerfiller-iterations", type=int, metavar="N", help="after the first fit; default 10000"
    )
    group.add_argument(
        "--dataset-update", type=int, metavar="N", help="iterations between updates; default 500"
    )
    group.add_argument(
        "--views-per-update", type=int, metavar="N", help="painted in one update; default 40"
    )
    group.add_argument(
        "--inpaint-method", metavar="NAME", help="joint-multiview (the default) or individual"
    )
    group.add_argument(
        "--depth-prior",
        metavar="NAME",
        help="whose order of depths counts in holes: fusion (the default), smooth or off",
    )


def nerfiller_options_of(arguments: Namespace) -> NerfillerOptions | None:
    """Return the settings that were given; None where there are none."""
    given = {field.name: getattr(arguments, field.name) for field in fields(NerfillerOptions)}
    options = NerfillerOptions(**given)
    return None if options == NerfillerOptions() else options
