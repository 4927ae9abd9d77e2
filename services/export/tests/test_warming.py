"""Kernels are compiled by a process of their own, once for every version of the sources."""

from __future__ import annotations

import resource

import pytest

from epipar_export.warming import _mark, compile_ahead, marked


def test_kernels_are_compiled_by_a_child_and_only_once() -> None:
    _mark("points").unlink(missing_ok=True)
    compile_ahead("points")
    assert _mark("points").exists()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    compile_ahead("points")
    assert resource.getrusage(resource.RUSAGE_CHILDREN) == before


def test_what_failed_to_compile_is_not_marked() -> None:
    def fail() -> None:
        with marked("nothing") as is_wanted:
            assert is_wanted
            raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        fail()
    assert not _mark("nothing").exists()
    _mark("nothing").with_suffix(".lock").unlink()
