"""A run's Job: the template, named by the run's hash, with the run's own arguments."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from epipar_kit.errors import EngineUnavailableError

RUN_LABEL = "epipar.dev/run"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
CONTAINER = "run"
COMMAND = "epipar-nerfiller-run"
"""The program of the worker's image that stages a run from the store and back."""

_DIGEST_DIGITS = 40
_NAME_DIGITS = 20

_DEFAULTS: dict[str, Any] = {
    "parallelism": 1,
    "completions": 1,
    "backoffLimit": 3,
    "activeDeadlineSeconds": 21_600,
    "ttlSecondsAfterFinished": 86_400,
    "podReplacementPolicy": "Failed",  # two pods must never write one checkpoint
    "podFailurePolicy": {
        "rules": [
            {
                "action": "Ignore",
                "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
            },
            {  # exit codes: services/inpaint/worker/README.md
                "action": "FailJob",
                "onExitCodes": {
                    "containerName": CONTAINER,
                    "operator": "In",
                    "values": [2, 3, 4, 5, 8],
                },
            },
            {
                "action": "Ignore",
                "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [6]},
            },
        ]
    },
}


def job_name(digest: str) -> str:
    """Return the name of a run's Job."""
    return f"inpaint-run-{digest[:_NAME_DIGITS]}"


def run_label(digest: str) -> str:
    """Return what the Job's label says of the run; labels are bounded to 63 letters."""
    return digest[:_DIGEST_DIGITS]


def template_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the labels, annotations and spec of the Job in a manifest of a Job or a CronJob.

    Raises:
        EngineUnavailableError: ENGINE_UNAVAILABLE, it is neither, or has no container "run".
    """
    kind = manifest.get("kind")
    if kind not in ("Job", "CronJob"):
        raise _unusable(f"it is a {kind}; it must be a Job or a CronJob")
    part = manifest["spec"]["jobTemplate"] if kind == "CronJob" else manifest
    found = copy.deepcopy(part.get("metadata") or {})
    template = {
        "metadata": {key: found[key] for key in ("labels", "annotations") if found.get(key)},
        "spec": copy.deepcopy(part.get("spec") or {}),
    }
    _container(template)
    return template


def make_job(
    template: Mapping[str, Any],
    digest: str,
    arguments: list[str],
    queue: str = "",
    traceparent: str = "",
) -> dict[str, Any]:
    """Return the Job of one run.

    Args:
        template: what template_of returned.
        digest: of the run, hex digits.
        arguments: what the container's program is called with.
        queue: a queue of Kueue that starts it; "" for the template's own, if any.
        traceparent: place in the trace of the request that it was made for; "" without one. A
            later request that attaches to the Job leaves it as it is.
    """
    job: dict[str, Any] = copy.deepcopy(dict(template))
    labels = job["metadata"].setdefault("labels", {})
    labels[RUN_LABEL] = run_label(digest)
    if queue:
        labels[QUEUE_LABEL] = queue
    job["metadata"]["name"] = job_name(digest)
    spec = job["spec"]
    for key, value in _DEFAULTS.items():
        spec.setdefault(key, copy.deepcopy(value))
    spec["suspend"] = QUEUE_LABEL in labels  # Kueue takes it away, nobody else
    pod = spec["template"]
    pod.setdefault("metadata", {}).setdefault("labels", {})[RUN_LABEL] = labels[RUN_LABEL]
    pod["spec"]["restartPolicy"] = "Never"  # podFailurePolicy wants it
    container = _container(job)
    for amounts in container.get("resources", {}).values():
        if isinstance(amounts, dict):  # the client wants text, a person writes numbers
            amounts.update({name: str(amount) for name, amount in amounts.items()})
    container.setdefault("command", [COMMAND])
    container["args"] = arguments
    if traceparent:
        container.setdefault("env", []).append({"name": "TRACEPARENT", "value": traceparent})
    return {"apiVersion": "batch/v1", "kind": "Job", **job}


def _container(template: Mapping[str, Any]) -> dict[str, Any]:
    try:
        containers = template["spec"]["template"]["spec"]["containers"]
        found: dict[str, Any] = next(c for c in containers if c["name"] == CONTAINER)
    except (KeyError, TypeError, StopIteration):
        raise _unusable(f"it has no container named {CONTAINER!r}") from None
    return found


def _unusable(why: str) -> EngineUnavailableError:
    return EngineUnavailableError(
        "ENGINE_UNAVAILABLE",
        f"EPIPAR_INPAINT_KUBERNETES_TEMPLATE names no template of a run: {why}",
        retry_after_s=None,
    )
