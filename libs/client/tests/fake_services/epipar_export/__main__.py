"""Stands in for `python -m epipar_export` when its parent folder comes first in PYTHONPATH."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.argv[1:] = ["export"]
runpy.run_path(str(Path(__file__).parents[2] / "fake_suite.py"), run_name="__main__")
