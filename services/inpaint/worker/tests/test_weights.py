"""Which models are loaded, and which refused."""

from __future__ import annotations

import shutil

import pytest
import torch

from epipar_nerfiller.failures import BadInputError, MissingWeightsError
from epipar_nerfiller.inpaint.weights import ModelChoice, load_pipeline, model_hash
from epipar_nerfiller.testing import make_tiny_pipeline

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    make_tiny_pipeline().save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def load(choice):
    return load_pipeline(choice, "cpu", torch.float32)


def test_a_local_folder_loads_with_its_weights(saved):
    pipeline = load(ModelChoice(str(saved)))
    wanted = make_tiny_pipeline().unet.state_dict()
    for name, tensor in pipeline.unet.state_dict().items():
        assert torch.equal(tensor, wanted[name])


def test_a_pinned_hash_must_match(saved, copy):
    digest = model_hash(saved)
    assert load(ModelChoice(str(saved), sha256=digest)) is not None
    file = next((copy / "unet").glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(MissingWeightsError, match=f"it must be {digest}"):
        load(ModelChoice(str(copy), sha256=digest))


def test_pickled_weights_are_refused(copy):
    file = next((copy / "unet").glob("*.safetensors"))
    file.rename(file.with_suffix(".bin"))
    with pytest.raises(MissingWeightsError, match="could run code"):
        load(ModelChoice(str(copy)))


def test_a_damaged_file_is_refused(copy):
    next((copy / "vae").glob("*.safetensors")).write_bytes(b"\0" * 16)
    with pytest.raises(MissingWeightsError, match="cannot be read"):
        load(ModelChoice(str(copy)))


def test_weights_that_are_not_here_say_how_to_bring_them():
    choice = ModelChoice("owner/inpainting", COMMIT, offline=True)
    with pytest.raises(MissingWeightsError) as caught:
        load(choice)
    assert f"hf download owner/inpainting --revision {COMMIT}" in str(caught.value)
    for missing in ("", "/no/such/folder"):
        with pytest.raises(MissingWeightsError, match="hf download"):
            load(ModelChoice(missing))


def test_a_repository_needs_a_commit():
    for revision in ("", "main", COMMIT[:12]):
        with pytest.raises(BadInputError, match="40 hex digits"):
            load(ModelChoice("owner/inpainting", revision))


def test_the_hubs_cache_on_this_machine_is_enough(saved, tmp_path, monkeypatch):
    """The cache's layout, made by hand: the real loading code finds it without a network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    root = tmp_path / "models--owner--inpainting"
    shutil.copytree(saved, root / "snapshots" / COMMIT)
    assert load(ModelChoice("owner/inpainting", COMMIT, offline=True)) is not None
