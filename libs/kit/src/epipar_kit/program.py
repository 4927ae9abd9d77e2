"""The program around a service: --help, settings, one ready line, serve until told to stop.

Standard output carries exactly one line, when the service answers::

    {"event": "ready", "service": "depth", "address": "127.0.0.1:50051", "pid": 4711}

so that whoever started it on port 0 knows where it listens. Everything else goes to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TypeVar

from epipar_kit.errors import EpiparError
from epipar_kit.logs import configure_logs
from epipar_kit.server import Program, Ready, Service, serve
from epipar_kit.settings import ServerSettings, SettingsError, describe, load_settings
from epipar_kit.tracing import HELP, tracing

_Settings = TypeVar("_Settings", bound=ServerSettings)


def service_main(
    name: str,
    settings_class: type[_Settings],
    build: Callable[[_Settings], Sequence[Service] | Program],
) -> int:
    """Run a service as a program.

    Args:
        name: such as "depth"; the distribution is "epipar-depth".
        settings_class: its settings.
        build: makes and joins the parts; facts of a Program's companions join the ready line.

    Returns:
        The exit status: 0 after a drain, 2 if the settings cannot be used.
    """
    parser = argparse.ArgumentParser(
        prog=f"epipar-{name}",
        description=f"The Epipar {name} service. It takes no options: settings are variables.",
        epilog=f"{describe(settings_class)}\n\n{HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version(f"epipar-{name}"))
    parser.parse_args()
    try:
        settings = load_settings(settings_class)
        configure_logs(settings.log_level)
        with tracing(name):
            services = build(settings)
            if settings.stop_on_stdin_eof:
                threading.Thread(target=_stop_at_eof, name="stdin", daemon=True).start()
            asyncio.run(serve(settings, services, on_ready=lambda ready: _announce(name, ready)))
    except SettingsError as error:
        sys.stderr.write(f"epipar-{name}: {error}\n")
        return 2
    except EpiparError as error:
        sys.stderr.write(f"epipar-{name}: {error.reason}: {error.message}\n")
        return 2
    return 0


def _announce(name: str, ready: Ready) -> None:
    facts = {
        "event": "ready",
        "service": name,
        "address": ready.address,
        "pid": os.getpid(),
        **ready.facts,
    }
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def _stop_at_eof() -> None:
    """Wait for the end of standard input: whoever started this program is gone, also by SIGKILL."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
