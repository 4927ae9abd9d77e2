"""Stopping, and the watchdog."""

from __future__ import annotations

import subprocess
import sys

import pytest

from epipar_nerfiller.control import Control
from epipar_nerfiller.failures import StoppedError


def test_a_tick_passes_until_a_stop_is_asked_for(tmp_path):
    flag = tmp_path / "stop"
    control = Control(flag)
    control.tick()
    flag.touch()
    control = Control(flag)
    with pytest.raises(StoppedError, match="stop file"):
        control.tick()


def test_the_first_reason_is_told():
    control = Control()
    control.stop("one")
    control.stop("two")
    with pytest.raises(StoppedError, match="one"):
        control.tick()


def test_the_watchdog_ends_a_process_that_does_not_move():
    program = """
import threading
from epipar_nerfiller.control import Control
control = Control(stall_s=0.3, on_stall=lambda message: print(message, flush=True))
control.start()
threading.Event().wait()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 7
    assert "nothing moved" in done.stdout
