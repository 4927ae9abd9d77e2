"""Why a run does not compute yet, in words for a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_UNSCHEDULABLE = (  # what the scheduler says, and what it means; the first that fits
    ("Insufficient nvidia.com/", "no node has a free GPU"),
    ("Insufficient memory", "no node has enough free memory"),
    ("Insufficient cpu", "no node has enough free CPU"),
    ("Insufficient ephemeral-storage", "no node has enough free disk"),
    ("PersistentVolumeClaim", "a volume of the run is not there"),
    ("persistentvolumeclaim", "a volume of the run is not there"),
    ("untolerated taint", "no node lets the run in: it tolerates none of their taints"),
    ("node affinity/selector", "no node has the labels that the run asks for"),
)
_PULLING = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_DETAIL_LETTERS = 200


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a run waits.

    Attributes:
        words: "" where it does not.
        is_pull: its image cannot be pulled.
    """

    words: str = ""
    is_pull: bool = False


def why_waiting(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Waiting:
    """Return why the run of a Job waits; pods: its own, the oldest first."""
    if (job.get("spec") or {}).get("suspend"):
        return Waiting("the queue has not admitted the run yet")
    alive = [pod for pod in pods if _phase(pod) in ("Pending", "Running")]
    if not alive:
        disrupted = any(_condition(pod, "DisruptionTarget") for pod in pods[-1:])
        if disrupted:
            return Waiting("the run was pushed off its node and goes on elsewhere")
        return Waiting("the cluster is making the run's pod")
    pod = alive[-1]
    if _phase(pod) == "Running":
        return Waiting()
    scheduled = _condition(pod, "PodScheduled", "False")
    if scheduled is not None:
        return Waiting(_unschedulable(scheduled))
    return _container_waits(pod)


def _unschedulable(condition: Mapping[str, Any]) -> str:
    said = str(condition.get("message") or "")
    if condition.get("reason") == "SchedulingGated":
        return "the queue has not admitted the run yet"
    for sign, words in _UNSCHEDULABLE:
        if sign in said:
            return f"{words} ({said[:_DETAIL_LETTERS]})"
    return f"no node takes the run ({said[:_DETAIL_LETTERS]})"


def _container_waits(pod: Mapping[str, Any]) -> Waiting:
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        waiting = (status.get("state") or {}).get("waiting") or {}
        reason = str(waiting.get("reason") or "")
        said = str(waiting.get("message") or reason)[:_DETAIL_LETTERS]
        if reason in _PULLING:
            return Waiting(f"the image {status.get('image')} cannot be pulled ({said})", True)
        if reason and reason not in ("ContainerCreating", "PodInitializing"):
            return Waiting(f"the run's container cannot start: {reason} ({said})")
    return Waiting("the run's pod is starting")


def _phase(pod: Mapping[str, Any]) -> str:
    return str((pod.get("status") or {}).get("phase") or "Pending")


def _condition(pod: Mapping[str, Any], kind: str, status: str = "True") -> Mapping[str, Any] | None:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == kind and condition.get("status") == status:
            found: Mapping[str, Any] = condition
            return found
    return None
