"""The README tells the truth."""

from __future__ import annotations

import re
from pathlib import Path

ROOM = Path(__file__).parents[1]


def test_the_readme_lists_every_module_of_the_gateway() -> None:
    listed = set(re.findall(r"^  (\w+(?:\.py|/)) ", (ROOM / "README.md").read_text(), re.MULTILINE))
    source = ROOM / "src/epipar_gateway"
    modules = {path.name for path in source.glob("*.py")} - {"__init__.py"}
    folders = {f"{path.parent.name}/" for path in source.glob("*/__init__.py")}
    assert modules | folders <= listed
