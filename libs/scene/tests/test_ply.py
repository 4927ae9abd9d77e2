"""PLY: round trip, an independent decoder, and files that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from epipar_scene import PointCloud, SceneFormatError, read_ply, write_ply
from epipar_scene.arrays import U8
from epipar_scene.clouds import concatenate
from epipar_scene.ply import iter_ply

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
provenances = st.booleans()


@st.composite
def clouds(draw, with_provenance):
    count = draw(st.integers(0, 20))
    return PointCloud(
        draw(arrays(np.float32, (count, 3), elements=finite)),
        draw(arrays(np.uint8, (count, 3))),
        draw(arrays(np.uint8, count)),
        draw(arrays(np.uint8, count)) if with_provenance else None,
    )


def assert_same(read: PointCloud, written: PointCloud) -> None:
    for name in PointCloud.__slots__:
        one, other = getattr(read, name), getattr(written, name)
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@given(st.data(), st.booleans(), st.integers(1, 7))
def test_a_cloud_comes_back_bit_for_bit(tmp_path_factory, data, with_provenance, chunk_points):
    path = tmp_path_factory.mktemp("ply") / "cloud.ply"
    parts = data.draw(st.lists(clouds(with_provenance), min_size=1, max_size=4))
    whole = concatenate(parts)
    assert write_ply(path, iter(parts)) == len(whole)
    chunks = list(iter_ply(path, chunk_points=chunk_points))
    assert all(len(chunk) <= chunk_points for chunk in chunks)
    if len(whole):
        assert_same(read_ply(path), whole)
        assert_same(concatenate(chunks), whole)
    else:
        assert len(read_ply(path)) == 0


def random_cloud(count: int, provenance: U8 | None = None) -> PointCloud:
    rng = np.random.default_rng(5)
    return PointCloud(
        rng.normal(size=(count, 3)).astype(np.float32),
        rng.integers(0, 256, (count, 3), dtype=np.uint8),
        rng.integers(0, 256, count, dtype=np.uint8),
        provenance,
    )


def test_an_independent_decoder_reads_the_same_points(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")
    cloud = random_cloud(12345, np.arange(12345).astype(np.uint8))
    write_ply(tmp_path / "cloud.ply", [cloud])
    decoded = trimesh.load(tmp_path / "cloud.ply")
    np.testing.assert_array_equal(decoded.vertices.astype(np.float32), cloud.positions)
    np.testing.assert_array_equal(decoded.colors[:, :3], cloud.colors)
    raw = decoded.metadata["_ply_raw"]["vertex"]["data"]
    np.testing.assert_array_equal(np.ravel(raw["confidence"]), cloud.confidence)
    np.testing.assert_array_equal(np.ravel(raw["provenance"]), cloud.provenance)


def test_no_clouds_at_all_make_an_empty_file(tmp_path):
    assert write_ply(tmp_path / "cloud.ply", []) == 0
    assert len(read_ply(tmp_path / "cloud.ply")) == 0


def test_a_cloud_without_provenance_after_one_with_it_is_refused_and_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="all or none"):
        write_ply(tmp_path / "c.ply", [random_cloud(2, np.zeros(2, np.uint8)), random_cloud(2)])
    assert list(tmp_path.iterdir()) == []


def ply(header: str, body: bytes) -> bytes:
    return f"ply\nformat binary_little_endian 1.0\n{header}end_header\n".encode() + body


XYZ = "property float x\nproperty float y\nproperty float z\n"
RGB = "property uchar red\nproperty uchar green\nproperty uchar blue\n"


def test_a_file_of_another_program_is_read(tmp_path):
    fields = [("nx", "<f4"), ("x", "<f8"), ("y", "<f8"), ("z", "<f8"),
              ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("alpha", "u1")]  # fmt: skip
    vertices = np.array([(9, 1, 2, 3, 10, 20, 30, 255), (9, 4, 5, 6, 40, 50, 60, 255)], fields)
    doubles = XYZ.replace("float", "double")
    header = (
        f"comment made elsewhere\nobj_info x\nelement vertex 2\nproperty float32 nx\n"
        f"{doubles}{RGB}property uchar alpha\n"
    )
    (tmp_path / "c.ply").write_bytes(ply(header, vertices.tobytes()))
    cloud = read_ply(tmp_path / "c.ply")
    assert cloud.positions.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert cloud.colors.tolist() == [[10, 20, 30], [40, 50, 60]]
    assert cloud.confidence.tolist() == [255, 255]
    assert cloud.provenance is None


ONE = "element vertex 1\n" + XYZ + RGB
BAD_FILES = {
    "empty": (b"", "header"),
    "text": (b"hello\n" * 3, "header"),
    "ascii": (b"ply\nformat ascii 1.0\nelement vertex 0\nend_header\n", "format"),
    "big-endian": (b"ply\nformat binary_big_endian 1.0\nelement vertex 0\nend_header\n", "format"),
    "header without end": (b"ply\n" + b"comment x\n" * 20000, "header"),
    "header in one line": (b"ply " * 50000, "header"),
    "no elements": (ply("", b""), "header"),
    "faces first": (ply("element face 1\n" + ONE, bytes(16)), "header"),
    "faces too": (ply(ONE + "element face 1\n", bytes(16)), "header"),
    "lists": (ply(ONE + "property list uchar int a\n", bytes(16)), "header"),
    "a count in words": (ply(ONE.replace("1", "one", 1), bytes(15)), "vertex count"),
    "a negative count": (ply(ONE.replace("1", "-1", 1), b""), "vertex count"),
    "a count beyond the file": (ply(ONE.replace("1", "9" * 18, 1), bytes(15)), "size"),
    "too short": (ply(ONE, bytes(14)), "size"),
    "too long": (ply(ONE, bytes(16)), "size"),
    "no positions": (ply("element vertex 1\n" + RGB, bytes(3)), "property x"),
    "whole positions": (ply(ONE.replace("float y", "int y"), bytes(15)), "property y"),
    "no colours": (ply("element vertex 1\n" + XYZ, bytes(12)), "property red"),
    "float confidence": (ply(ONE + "property float confidence\n", bytes(19)), "property confidence"),
    "x twice": (ply(ONE + "property float x\n", bytes(19)), "properties"),
    "NaN": (ply(ONE, np.full(3, np.nan, "<f4").tobytes() + bytes(3)), "positions"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_with_its_field(tmp_path, name):
    content, field = BAD_FILES[name]
    (tmp_path / "c.ply").write_bytes(content)
    with pytest.raises(SceneFormatError) as caught:
        read_ply(tmp_path / "c.ply")
    assert caught.value.field == field


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(SceneFormatError, match="missing"):
        read_ply(tmp_path / "c.ply")
