"""How a Job ended, and what a caller can do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from epipar_kit.errors import (
    CallEndedError,
    EngineUnavailableError,
    EpiparError,
    LimitExceededError,
    WorkerDiedError,
)

COMPLETE, FAILED = "Complete", "Failed"
DEADLINE = "DeadlineExceeded"


def ended(job: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return (Complete or Failed, reason, message) of a Job that ended; else None."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition.get("status") == "True" and condition.get("type") in (COMPLETE, FAILED):
            reason, message = condition.get("reason") or "", condition.get("message") or ""
            return str(condition["type"]), str(reason), str(message)
    return None


def is_going(job: Mapping[str, Any]) -> bool:
    """Tell whether a Job has been deleted and is not gone yet."""
    return bool(job["metadata"].get("deletionTimestamp"))


def failure_of(
    job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], reason: str, message: str
) -> EpiparError:
    """Return the error of a Job that failed without a word of the worker."""
    name = job["metadata"]["name"]
    if reason == DEADLINE:
        limit_s = (job.get("spec") or {}).get("activeDeadlineSeconds")
        return CallEndedError(
            "DEADLINE_EXCEEDED",
            f"the run {name} took longer than the activeDeadlineSeconds of its template ({limit_s}); "
            "its checkpoint is kept, the same call goes on from there",
        )
    end = _last_end(pods)
    if end.get("reason") == "OOMKilled":
        return LimitExceededError(
            "OUT_OF_MEMORY",
            f"the run {name} used more memory than the limit of its container, and was ended; raise "
            "the limit in the template, or ask for fewer rays_per_batch or views_per_update",
            subject="memory",
        )
    code = end.get("exitCode")
    return WorkerDiedError(
        f"the run {name} failed ({reason or 'no reason'}: {message[:200]}), its last container ended "
        f"with exit code {code}; kubectl logs job/{name} has its output",
        exit_code=code,
    )


def image_not_pulled(words: str, patience_s: float) -> EngineUnavailableError:
    """Return the error of an image that could not be pulled for too long."""
    return EngineUnavailableError(
        "ENGINE_UNAVAILABLE",
        f"{words} for {patience_s:.0f} s; check the image and the pull secret of the template",
        retry_after_s=None,
    )


def _last_end(pods: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for pod in reversed(pods):
        for status in (pod.get("status") or {}).get("containerStatuses") or []:
            for state in (status.get("state"), status.get("lastState")):
                if terminated := (state or {}).get("terminated"):
                    found: Mapping[str, Any] = terminated
                    return found
    return {}
