"""Failed calls arrive as one class each, with everything the service said."""

from __future__ import annotations

import pkgutil

import pytest

import epipar_client
from epipar.common.v1.error_reason_pb2 import ErrorReason
from epipar_client import (
    EpiparClient,
    EpiparError,
    InvalidInputError,
    NotFoundError,
    ServiceError,
)
from epipar_client import errors as errors_module
from epipar_client.errors import error_from_reason


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("INVALID_ARGUMENT", "InvalidInputError"),
        ("OUT_OF_RANGE", "InvalidInputError"),
        ("NOT_FOUND", "NotFoundError"),
        ("ALREADY_EXISTS", "AlreadyExistsError"),
        ("FAILED_PRECONDITION", "NotReadyError"),
        ("ABORTED", "NotReadyError"),
        ("RESOURCE_EXHAUSTED", "LimitExceededError"),
        ("UNAVAILABLE", "UnavailableError"),
        ("DEADLINE_EXCEEDED", "DeadlineExceededError"),
        ("CANCELLED", "CallCancelledError"),
        ("UNAUTHENTICATED", "AccessError"),
        ("PERMISSION_DENIED", "AccessError"),
        ("DATA_LOSS", "CorruptArtifactError"),
        ("INTERNAL", "ServiceError"),
        ("UNIMPLEMENTED", "ServiceError"),
        ("UNKNOWN", "ServiceError"),
    ],
)
async def test_every_code_has_its_class(client: EpiparClient, code: str, name: str) -> None:
    with pytest.raises(EpiparError) as with_details:
        await client.reconstruct(f"fail.{code}.SOME_REASON", "scenes/a")
    assert type(with_details.value).__name__ == name
    assert with_details.value.reason == "SOME_REASON"
    with pytest.raises(EpiparError) as bare:
        await client.reconstruct(f"bare.{code}", "scenes/a")
    assert type(bare.value).__name__ == name
    assert bare.value.reason == code


async def test_an_error_carries_reason_field_facts_and_request_id(client: EpiparClient) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await client.reconstruct("split", "scenes/a", request_id="r-17")
    error = caught.value
    assert error.reason == "SPLIT_MODEL"
    assert error.message == "31 of 60 frames registered in the largest part; 80 % are needed"
    assert error.field == "input_uri"
    assert error.metadata == {"registered": "31", "frames": "60"}
    assert error.request_id == "r-17"
    assert str(error).startswith("SPLIT_MODEL: 31 of 60")


async def test_damaged_details_do_not_hide_the_status(client: EpiparClient) -> None:
    with pytest.raises(NotFoundError, match="gone"):
        await client.reconstruct("damaged", "scenes/a")


def test_every_reason_of_the_contract_has_its_class() -> None:
    reasons = {name.removeprefix("ERROR_REASON_") for name in ErrorReason.DESCRIPTOR.values_by_name}
    for reason in reasons - {"UNSPECIFIED"}:
        error = error_from_reason(reason, "words", metadata={"a": "1"}, otherwise=EpiparError)
        assert type(error) is not EpiparError, reason
        assert (error.reason, error.message, error.metadata) == (reason, "words", {"a": "1"})
    assert type(error_from_reason("OF_A_LATER_VERSION", "words")) is ServiceError


def test_the_module_lists_every_class_with_what_to_do() -> None:
    classes = {
        name
        for name, value in vars(errors_module).items()
        if isinstance(value, type) and issubclass(value, EpiparError)
    }
    told = {
        line.strip("├└─ ").split()[0]
        for line in (errors_module.__doc__ or "").splitlines()
        if "Error  " in line
    }
    assert told == classes
    assert classes <= set(epipar_client.__all__)


def test_all_is_the_public_surface() -> None:
    modules = {module.name for module in pkgutil.iter_modules(epipar_client.__path__)}
    public = {name for name in vars(epipar_client) if not name.startswith("_")}
    assert public - modules - {"annotations"} == set(epipar_client.__all__) - {"__version__"}
    assert epipar_client.__all__ == sorted(epipar_client.__all__)
