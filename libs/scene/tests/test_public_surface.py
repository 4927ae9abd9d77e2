"""The public names are those that __all__ lists, and the package needs numpy and Pillow only."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import epipar_scene


def test_all_is_the_public_surface():
    public = {
        name
        for name, value in vars(epipar_scene).items()
        if not name.startswith("_") and not isinstance(value, ModuleType) and name != "annotations"
    }
    assert public == set(epipar_scene.__all__)
    assert sorted(epipar_scene.__all__) == list(epipar_scene.__all__)


def test_importing_it_loads_numpy_and_pillow_and_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import epipar_scene;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - sys.stdlib_module_names))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    names = {name.strip("[]' \n") for name in loaded.stdout.split(",")}
    assert {name for name in names if not name.startswith("_")} == {"PIL", "epipar_scene", "numpy"}
