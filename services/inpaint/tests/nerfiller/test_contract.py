"""What the contract says of the engines' settings is what the worker and the service do."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar_inpaint.convert import completion_call_from_request
from epipar_inpaint.nerfiller.prior import DEPTH_PRIORS
from epipar_inpaint.nerfiller.upstream import UpstreamOptions
from epipar_kit.errors import InvalidInputError

ROOT = Path(__file__).parents[4]
PROTO = ROOT / "protos/epipar/inpaint/v1/inpaint_service.proto"
FIELD = re.compile(r"((?:  //.*\n)+)  (?:optional )?\w+ (\w+) = \d+;")
RANGE = re.compile(r"(\d+) to (\d+); default (\d+)")
UPSTREAM = re.compile(r'"nerfiller-upstream": (\d+)')


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """The comment of every field of NerfillerOptions, on one line."""
    text = PROTO.read_text()
    body = text[text.index("message NerfillerOptions {") :]
    body = body[: body.index("\n}")]
    comments = {name: comment for comment, name in FIELD.findall(body)}
    assert set(comments) == set(pb.NerfillerOptions.DESCRIPTOR.fields_by_name)
    return {name: " ".join(re.sub("//", "", c).split()) for name, c in comments.items()}


@pytest.fixture(scope="module")
def worker() -> dict[str, Any]:
    """The worker's defaults; its settings need nothing of its environment."""
    sys.path.insert(0, str(ROOT / "services/inpaint/worker/src"))
    try:
        from epipar_nerfiller.settings import NerfillerSettings
    finally:
        sys.path.pop(0)
    return {field.name: field.default for field in fields(NerfillerSettings)}


def call(**settings: Any) -> Any:
    message = pb.CompleteRequest(
        scene_uri="scenes/a",
        mask_set="default",
        intent=pb.INTENT_REMOVE,
        engine="nerfiller",
        options=pb.CompleteOptions(nerfiller=pb.NerfillerOptions(**settings)),
    )
    return completion_call_from_request(message).options.extra


@pytest.mark.parametrize("name", ["nerfiller_iterations", "dataset_update", "views_per_update"])
def test_numbers_have_the_bounds_and_the_default_that_the_contract_names(said, worker, name):
    match = RANGE.search(said[name])
    assert match, said[name]
    low, high, default = map(int, match.groups())
    assert default == worker[name]
    assert call(**{name: low}) == {name: low}
    assert call(**{name: high}) == {name: high}
    for wrong in (low - 1, high + 1):
        with pytest.raises(InvalidInputError, match=f"{low} to {high}") as caught:
            call(**{name: wrong})
        assert caught.value.field == f"options.nerfiller.{name}"


def test_the_published_method_has_the_defaults_that_the_contract_names(said):
    published = UpstreamOptions()
    defaults = {
        "nerfiller_iterations": published.iterations,
        "dataset_update": published.edit_rate,
        "views_per_update": published.edit_num,
    }
    for name, default in defaults.items():
        named = UPSTREAM.search(said[name]) or RANGE.search(said[name])
        assert named, said[name]
        assert int(named.groups()[-1]) == default


def test_words_are_those_that_the_contract_names_the_default_first(said, worker):
    quoted = re.findall('"([a-z-]+)"', said["inpaint_method"])
    assert quoted[0] == worker["inpaint_method"]
    for method in quoted:
        assert call(inpaint_method=method) == {"inpaint_method": method}
    quoted = [word for word in re.findall('"([a-z-]+)"', said["depth_prior"]) if "-" not in word]
    assert tuple(dict.fromkeys(quoted)) == DEPTH_PRIORS
    for name in ("inpaint_method", "depth_prior"):
        with pytest.raises(InvalidInputError, match="known: ") as caught:
            call(**{name: "guess"})
        assert caught.value.field == f"options.nerfiller.{name}"


def test_what_is_not_said_is_left_to_the_operator():
    assert call() == {}
