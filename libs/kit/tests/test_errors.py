"""Every class of error keeps its facts: as a dict, pickled, and over a real wire."""

from __future__ import annotations

import ast
import errno
import inspect
import pickle
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

import epipar_kit
from epipar_kit import errors as errors_module
from epipar_kit.errors import (
    AlreadyExistsError,
    CallEndedError,
    CorruptArtifactError,
    EngineUnavailableError,
    EpiparError,
    ForbiddenError,
    InternalError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotReadyError,
    StorageFullError,
    UnauthenticatedError,
    WorkerDiedError,
    error_from_dict,
    error_to_dict,
    storage_full_from,
    typed_error,
    typed_storage_errors,
)
from epipar_kit.testing import serving
from epipar_kit.wire import DETAILS_KEY, DOMAIN, error_from_call

from .echo_service import CALLS, EchoServicer, echo_service

Code = grpc.StatusCode
TABLE: list[tuple[EpiparError, Code, set[str]]] = [
    (
        InvalidInputError("BAD_BITS", "bits", "bits is 40; it must be 8 to 16", bits=40),
        Code.INVALID_ARGUMENT,
        {"BadRequest"},
    ),
    (
        NotFoundError("NOT_FOUND", "'scenes/x' is not there", resource_name="scenes/x"),
        Code.NOT_FOUND,
        {"ResourceInfo"},
    ),
    (
        AlreadyExistsError(
            "OUTPUT_EXISTS", "it is there", resource_type="scene", resource_name="scenes/x"
        ),
        Code.ALREADY_EXISTS,
        {"ResourceInfo"},
    ),
    (
        NotReadyError("OUTPUT_BUSY", "it is being written", subject="scenes/x"),
        Code.FAILED_PRECONDITION,
        {"PreconditionFailure"},
    ),
    (
        LimitExceededError("OUT_OF_MEMORY", "too much", subject="memory"),
        Code.RESOURCE_EXHAUSTED,
        {"QuotaFailure"},
    ),
    (
        LimitExceededError("TOO_MANY_REQUESTS", "too many", subject="s", retry_after_s=2.5),
        Code.RESOURCE_EXHAUSTED,
        {"QuotaFailure", "RetryInfo"},
    ),
    (
        StorageFullError("no room for a.npy", subject="a.npy"),
        Code.RESOURCE_EXHAUSTED,
        {"QuotaFailure"},
    ),
    (
        EngineUnavailableError("ENGINE_UNAVAILABLE", "no GPU", retry_after_s=30.0),
        Code.UNAVAILABLE,
        {"RetryInfo"},
    ),
    (
        EngineUnavailableError("STORE_UNAVAILABLE", "not built", retry_after_s=None),
        Code.UNAVAILABLE,
        set(),
    ),
    (CorruptArtifactError("CORRUPT_ARTIFACT", "a.npy ends early"), Code.DATA_LOSS, set()),
    (UnauthenticatedError("UNAUTHENTICATED", "no token"), Code.UNAUTHENTICATED, set()),
    (ForbiddenError("FORBIDDEN", "not yours"), Code.PERMISSION_DENIED, set()),
    (CallEndedError("CANCELLED", "cancelled"), Code.CANCELLED, set()),
    (CallEndedError("DEADLINE_EXCEEDED", "too late"), Code.DEADLINE_EXCEEDED, set()),
    (InternalError(), Code.INTERNAL, set()),
    (WorkerDiedError("ended by SIGSEGV", signal="SIGSEGV"), Code.INTERNAL, set()),
]
IDS = [f"{type(error).__name__}-{error.reason}" for error, _, _ in TABLE]


def facts_of(error: EpiparError) -> dict[str, Any]:
    assert type(error) is not EpiparError
    return error_to_dict(error)


def test_the_table_has_every_class() -> None:
    classes = {
        cls
        for _, cls in inspect.getmembers(errors_module, inspect.isclass)
        if issubclass(cls, EpiparError) and cls is not EpiparError
    }
    assert {type(error) for error, _, _ in TABLE} == classes


def test_the_module_docstring_shows_every_class() -> None:
    for error, _, _ in TABLE:
        assert f"- {type(error).__name__} " in str(errors_module.__doc__)


@pytest.mark.parametrize(("error", "code", "details"), TABLE, ids=IDS)
async def test_each_error_reaches_a_client_with_its_code_and_details(
    error: EpiparError, code: Code, details: set[str]
) -> None:
    async with serving([echo_service(EchoServicer(failure=error))]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await CALLS["unary_unary"](channel)
    assert caught.value.code() is code
    assert caught.value.details() == error.message
    packed = dict(caught.value.trailing_metadata() or ())[DETAILS_KEY]
    assert isinstance(packed, bytes)
    status = status_pb2.Status.FromString(packed)
    assert (status.code, status.message) == (code.value[0], error.message)
    names = [detail.TypeName().rpartition(".")[2] for detail in status.details]
    assert names[0] == "ErrorInfo"
    assert set(names[1:]) == details
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason) == (DOMAIN, error.reason)
    assert dict(info.metadata) == error.metadata
    assert facts_of(error_from_call(caught.value)) == facts_of(error)


@pytest.mark.parametrize(("error", "code", "details"), TABLE, ids=IDS)
def test_each_error_survives_a_dict_and_a_pickle(
    error: EpiparError, code: Code, details: set[str]
) -> None:
    for again in (
        error_from_dict(error_to_dict(error)),
        pickle.loads(pickle.dumps(error)),  # noqa: S301 - our own bytes
    ):
        assert facts_of(again) == facts_of(error)
        assert type(again) is type(error)
        assert str(again) == error.message


def test_an_unknown_kind_becomes_internal() -> None:
    error = error_from_dict({"kind": "NewerError", "reason": "NEW", "message": "m"})
    assert (type(error), error.reason, error.message) == (InternalError, "NEW", "m")


async def test_a_very_long_error_still_arrives() -> None:
    failure = InvalidInputError(
        "MIXED_SIZES", "source", "ä" * 50_000, **{f"key_{i}": "€" * 5_000 for i in range(100)}
    )
    async with serving([echo_service(EchoServicer(failure=failure))]) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await CALLS["unary_unary"](channel)
    error = error_from_call(caught.value)
    assert (error.reason, type(error)) == ("MIXED_SIZES", InvalidInputError)
    assert error.message.endswith("ä…")


async def test_a_refused_connection_is_unavailable_without_a_reason() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await CALLS["unary_unary"](channel)
    error = error_from_call(caught.value)
    assert (type(error), error.reason) == (EngineUnavailableError, "UNSPECIFIED")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_typed_and_does_not_tell_the_path(number: int) -> None:
    with pytest.raises(StorageFullError) as caught, typed_storage_errors():
        raise OSError(number, "full", "/home/somebody/depth.npy")
    assert caught.value.reason == "DISK_FULL"
    assert "depth.npy" in caught.value.message
    assert "/home" not in caught.value.message


def test_other_os_errors_pass() -> None:
    assert storage_full_from(OSError(errno.EACCES, "no")) is None
    with pytest.raises(PermissionError), typed_storage_errors():
        raise PermissionError(errno.EACCES, "no")


def test_any_exception_becomes_what_a_caller_may_see() -> None:
    own = NotReadyError("SCENE_INCOMPLETE", "not yet")
    assert typed_error(own) is own
    assert typed_error(MemoryError()).reason == "OUT_OF_MEMORY"
    assert typed_error(OSError(errno.ENOSPC, "full")).reason == "DISK_FULL"
    assert typed_error(PermissionError(errno.EACCES, "/secret")).message == InternalError().message


def _reasons_used() -> set[str]:
    """Find every reason that the kit gives to an error class."""
    reasons = set()
    for path in Path(str(epipar_kit.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                name = str(getattr(node.func, "id", "") or getattr(node.func, "attr", ""))
                first = node.args[0]
                if (name.endswith("Error") or name == "__init__") and isinstance(
                    first, ast.Constant
                ):
                    reasons.add(str(first.value))
    return {reason for reason in reasons if reason.isupper()} | {InternalError().reason}


def test_every_reason_that_the_kit_uses_is_in_the_contract() -> None:
    used = _reasons_used() | {error.reason for error, _, _ in TABLE}
    assert {"BAD_URI", "OUTPUT_BUSY", "DISK_FULL", "WORKER_DIED", "TOO_MANY_REQUESTS"} <= used
    pb2 = pytest.importorskip(
        "epipar.common.v1.error_reason_pb2", reason="the generated stubs are not installed"
    )
    known = {name.removeprefix("ERROR_REASON_") for name in pb2.ErrorReason.keys()}  # noqa: SIM118 - no dict
    assert used <= known
