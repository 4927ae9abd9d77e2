"""The arguments of the engine "nerfiller": they travel, and promise what the contract promises."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from dataclasses import fields
from pathlib import Path

import pytest

from epipar.inpaint.v1 import inpaint_service_pb2 as pb
from epipar_cli.nerfiller import add_nerfiller, nerfiller_options_of
from epipar_client import NerfillerOptions

PROTO = Path(__file__).parents[3] / "protos/epipar/inpaint/v1/inpaint_service.proto"


@pytest.fixture
def parser() -> ArgumentParser:
    made = ArgumentParser()
    add_nerfiller(made)
    return made


def test_every_setting_of_the_contract_has_an_argument_that_travels(parser: ArgumentParser) -> None:
    given = {
        "nerfiller_iterations": 500,
        "inpaint_method": "individual",
        "dataset_update": 50,
        "views_per_update": 8,
        "model_id": "weights/model",
        "depth_prior": "smooth",
    }
    assert set(given) == set(pb.NerfillerOptions.DESCRIPTOR.fields_by_name)
    assert set(given) == {field.name for field in fields(NerfillerOptions)}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    assert nerfiller_options_of(parser.parse_args(words)) == NerfillerOptions(**given)  # type: ignore[arg-type]  # of both types


def test_without_arguments_nothing_is_sent(parser: ArgumentParser) -> None:
    assert nerfiller_options_of(parser.parse_args([])) is None


def test_the_help_names_the_defaults_of_the_contract(parser: ArgumentParser) -> None:
    text = PROTO.read_text()
    body = text[text.index("message NerfillerOptions {") :]
    said = " ".join(parser.format_help().split())
    for name in ("nerfiller_iterations", "dataset_update", "views_per_update"):
        (default,) = re.findall(rf"default (\d+)[^=]*? {name} = ", body[: body.index("\n}")])
        words = rf"--{name.replace('_', '-')} N [^;]*; default {default}\b"
        assert re.search(words, said), (words, said)
