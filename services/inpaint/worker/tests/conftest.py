"""The worker's tests run in the worker's own environment (`make test-worker`)."""

from __future__ import annotations

import importlib.util

import pytest

MISSING = [
    name
    for name in ("torch", "diffusers", "nerfstudio", "epipar_nerfiller")
    if importlib.util.find_spec(name) is None
]
REASON = (
    f"the worker's environment is another one (here are no {', '.join(MISSING)}): make test-worker"
)

if not MISSING:
    pytest_plugins: list[str] = []


class _Elsewhere(pytest.Module):
    """A test file that is not imported, as its environment is another one."""

    def collect(self):
        return [_Skipped.from_parent(self, name="needs_the_workers_environment")]


class _Skipped(pytest.Item):
    def runtest(self):
        pytest.skip(REASON)

    def reportinfo(self):
        return self.path, 0, self.name


def pytest_pycollect_makemodule(module_path, parent):
    return _Elsewhere.from_parent(parent, path=module_path) if MISSING else None
