"""The public names are those that __all__ lists, and the package needs numpy and Pillow only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

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
        "files = {n: getattr(sys.modules[n], '__file__', None) for n in set(sys.modules) - before};"
        "names = {name.split('.')[0] for name, file in files.items() if file};"
        "print(*sorted(names - sys.stdlib_module_names))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    names = {name for name in loaded.stdout.split() if not name.startswith("_")}
    assert names == {"PIL", "epipar_scene", "numpy"}


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch):
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    code = readme.partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(tmp_path)
    video = tmp_path / "office.mp4"
    video.write_bytes(b"frames")
    given = {
        "rgb": np.full((480, 640, 3), 128, np.uint8),
        "depth": np.ones((480, 640)),
        "confidence": np.full((480, 640), 0.5),
        "video": video,
        "options": {"max_frames": 300},
    }
    exec(compile(code, "README.md", "exec"), given)  # noqa: S102 - our own text
    assert len(epipar_scene.read_ply(tmp_path / "office.ply")) == 480 * 640
