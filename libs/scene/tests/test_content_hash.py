"""The hash of input and options: the same for the same, another for anything else."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epipar_scene.content_hash import (
    canonical_json,
    content_hash,
    sha256_of_file,
    sha256_of_input,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)  # fmt: skip


@given(values)
def test_canonical_json_is_the_value_and_a_fixed_point(value):
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


def test_canonical_json_is_pinned():
    value = {"b": [1, 2.5, None, True], "a": "ü", "c": {}}
    assert canonical_json(value) == b'{"a":"\\u00fc","b":[1,2.5,null,true],"c":{}}'


@given(st.dictionaries(st.text(max_size=5), values, min_size=2))
def test_the_order_of_keys_does_not_matter(options):
    backwards = dict(reversed(list(options.items())))
    assert content_hash("0" * 64, options) == content_hash("0" * 64, backwards)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), {1: 2}, [{None: 1}], {"a": b"x"}])
def test_what_is_not_json_is_refused(bad):
    with pytest.raises((ValueError, TypeError)):
        canonical_json(bad)


def test_input_and_options_each_count():
    base = content_hash("0" * 64, {"bits": 14})
    assert base != content_hash("1" * 64, {"bits": 14})
    assert base != content_hash("0" * 64, {"bits": 12})
    assert base != content_hash("0" * 64, {"bits": "14"})


def test_a_file_is_hashed_by_its_bytes(tmp_path):
    content = bytes(range(256)) * 10000
    (tmp_path / "a.bin").write_bytes(content)
    assert sha256_of_file(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()
    assert sha256_of_input(tmp_path / "a.bin") == hashlib.sha256(content).hexdigest()


def test_a_folder_is_hashed_by_names_and_contents(tmp_path):
    def folder(name: str, files: list[tuple[str, str]]) -> str:
        for inner, text in files:
            (tmp_path / name / inner).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / inner).write_text(text)
        return sha256_of_input(tmp_path / name)

    one = folder("one", [("a.txt", "1"), ("b/c.txt", "2")])
    assert one == folder("two", [("b/c.txt", "2"), ("a.txt", "1")])
    assert one != folder("three", [("a.txt", "2"), ("b/c.txt", "1")])
    assert one != folder("four", [("a.txt", "1"), ("b/d.txt", "2")])
    assert one != folder("five", [("a.txt", "1")])


def test_an_input_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        sha256_of_input(tmp_path / "nothing")
