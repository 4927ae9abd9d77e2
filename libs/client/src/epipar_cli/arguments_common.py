"""What several commands' options share."""

from __future__ import annotations

import os
from argparse import (
    ArgumentParser,
    ArgumentTypeError,
    RawDescriptionHelpFormatter,
    _SubParsersAction,
)
from collections.abc import Callable
from typing import TypeAlias

Commands: TypeAlias = "_SubParsersAction[ArgumentParser]"

DEFAULT_DATA = "epipar-data"
DEFAULT_ADDRESS = "http://127.0.0.1:8080"


def add_command(
    commands: Commands, name: str, summary: str, text: str, epilog: str = ""
) -> ArgumentParser:
    """Add a command with its help; every command can report as JSON."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog=epilog,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_json(parser)
    return parser


def add_json(parser: ArgumentParser) -> None:
    """Let a command report as JSON."""
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def add_address(parser: ArgumentParser, *, needed: bool = False) -> None:
    """Let a command talk to a running suite.

    Args:
        parser: of the command.
        needed: it does nothing without one, so there is a default.
    """
    group = parser.add_argument_group("running suite")
    if needed:
        parser.set_defaults(address=os.environ.get("EPIPAR_ADDRESS") or DEFAULT_ADDRESS)
        told = f"default: EPIPAR_ADDRESS, or {DEFAULT_ADDRESS}"
    else:
        told = "of a suite, as epipar up prints it"
    group.add_argument("--address", metavar="HOST:PORT", help=told)
    group.add_argument(
        "--timeout", type=seconds_up_to(10**7), metavar="SECONDS", help="longest wait for the end"
    )
    group.add_argument("--tls", action="store_true", help="encrypt, trusting the system")
    group.add_argument("--ca", metavar="PEM", help="encrypt, trusting these authorities")
    group.add_argument("--cert", metavar="PEM", help="this client's certificate")
    group.add_argument("--key", metavar="PEM", help="and its private key")
    group.description = "EPIPAR_TOKEN in the environment is sent as a bearer token."


def add_waiting(parser: ArgumentParser) -> None:
    """Let a command say whether it waits for the job that it starts."""
    parser.add_argument(
        "--no-wait", action="store_true", help="with --address: print the job and end"
    )
    add_interrupt(parser)


def add_interrupt(parser: ArgumentParser) -> None:
    """Let a command say what Ctrl-C does to the job that it watches."""
    parser.add_argument(
        "--cancel-on-interrupt",
        action="store_true",
        help="Ctrl-C cancels the job of the suite; else it goes on",
    )


def seconds_up_to(limit: int) -> Callable[[str], float]:
    """Return a reader of a duration."""

    def seconds(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= limit:
            raise ArgumentTypeError(f"{text!r} must be 0 to {limit} seconds")
        return value

    return seconds


def port(text: str) -> int:
    """Read a TCP port."""
    if not text.isdecimal() or int(text) > 65535:
        raise ArgumentTypeError(f"{text!r} must be a port, 0 to 65535; 0 takes a free one")
    return int(text)
