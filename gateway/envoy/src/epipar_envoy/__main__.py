"""The door as a program: serve, render or validate.

Standard output carries exactly one line when Envoy answers::

    {"event": "ready", "service": "envoy", "address": "127.0.0.1:8080", "admin_address": …, "pid": 1}
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path

from epipar_envoy.binary import EnvoyError, check_config, find_envoy
from epipar_envoy.bootstrap import bootstrap, rendered
from epipar_envoy.process import EnvoyProcess, write_config
from epipar_envoy.settings import (
    EnvoySettings,
    check_files,
    describe_envoy_settings,
    load_envoy_settings,
)
from epipar_envoy.variants import VARIANTS
from epipar_kit.logs import configure_logs
from epipar_kit.settings import SettingsError


def main() -> int:
    """Run the program; return the exit status: Envoy's, or 2 where it cannot run."""
    arguments = _parser().parse_args()
    variant: str = getattr(arguments, "variant", None) or ""
    try:
        settings = load_envoy_settings(**VARIANTS.get(variant, {}))
        configure_logs("info" if settings.log_level == "warning" else settings.log_level)
        if arguments.command == "render":
            sys.stdout.write(rendered(bootstrap(settings)))
            return 0
        check_files(settings)
        if arguments.command == "validate":
            return _validate(settings)
        return asyncio.run(_serve(settings))
    except (SettingsError, EnvoyError) as error:
        sys.stderr.write(f"epipar-envoy: {error}\n")
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="epipar-envoy",
        description="The public door of an Epipar suite. Settings are variables.",
        epilog=describe_envoy_settings(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version("epipar-envoy"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("serve", help="run Envoy until told to stop (default)")
    render = commands.add_parser("render", help="print Envoy's configuration as YAML")
    render.add_argument(
        "--variant", choices=sorted(VARIANTS), help="a ready set of settings, above the variables"
    )
    commands.add_parser("validate", help="let Envoy check the configuration of the variables")
    return parser


def _validate(settings: EnvoySettings) -> int:
    with tempfile.TemporaryDirectory(prefix="epipar-envoy-") as folder:
        config = write_config(settings, Path(folder))
        check_config(find_envoy(settings.envoy_path), config)
    sys.stdout.write("the configuration is good\n")
    return 0


async def _serve(settings: EnvoySettings) -> int:
    envoy = EnvoyProcess(settings)
    asked = asyncio.Event()

    def on_signal() -> None:
        if asked.is_set():
            envoy.hurry()
        asked.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    if settings.stop_on_stdin_eof:
        threading.Thread(target=_stop_at_eof, name="stdin", daemon=True).start()
    await envoy.start()
    _announce(envoy)
    ended = asyncio.create_task(envoy.wait())
    asking = asyncio.create_task(asked.wait())
    await asyncio.wait({ended, asking}, return_when=asyncio.FIRST_COMPLETED)
    asking.cancel()
    if not ended.done():
        await envoy.drain()
    return await ended


def _announce(envoy: EnvoyProcess) -> None:
    facts = {
        "event": "ready",
        "service": "envoy",
        "address": envoy.address,
        "admin_address": envoy.admin_address,
        "pid": os.getpid(),
    }
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _stop_at_eof() -> None:
    """Wait for the end of standard input: whoever started this program is gone."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
