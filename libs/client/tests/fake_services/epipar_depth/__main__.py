"""Stands in for `python -m epipar_depth` when its parent folder comes first in PYTHONPATH."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.argv[1:] = ["depth"]
sys.path.insert(0, str(Path(__file__).parents[3]))
runpy.run_module("tests.fake_processes", run_name="__main__")
