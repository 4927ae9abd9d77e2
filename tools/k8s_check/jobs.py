"""Long runs end, are repeated where that helps, and fail at once where it does not."""

from __future__ import annotations

from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Object, Rendered, name_of, pod_of

RULES = {
    "job-restarts-in-place": "a Job with a failure policy has restartPolicy Never",
    "job-endless": "a Job has a deadline and a bound of repeats",
    "job-counts-disruption": "a pod pushed off its node does not count: the first rule says so",
    "job-rule-unknown-container": "a rule of exit codes names a container of the Job",
    "job-retries-bad-input": "a run whose input is refused fails at once",
    "template-runs": "a template stays suspended, is kept, and carries no queue",
    "template-two-pods": "a run's next pod waits for the end of the last: one checkpoint, one writer",
}

FATAL_EXIT_CODES = {2, 3, 4, 8}
"""Of the worker (services/inpaint/worker/README.md): the same again would end the same way."""

_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def check(world: Rendered) -> Iterator[Finding]:
    """Yield the faults of Jobs."""
    for job in world.of_kind("Job"):
        yield from _job(job)
        if job["metadata"].get("annotations", {}).get("epipar.dev/template") == "true":
            yield from _template(job)


def _job(job: Object) -> Iterator[Finding]:
    spec, subject = job["spec"], name_of(job)
    rules = spec.get("podFailurePolicy", {}).get("rules", [])
    if rules and pod_of(job).get("restartPolicy") != "Never":
        yield Finding("job-restarts-in-place", subject, "restartPolicy must be Never")
    if "activeDeadlineSeconds" not in spec or "backoffLimit" not in spec:
        yield Finding("job-endless", subject, "needs activeDeadlineSeconds and backoffLimit")
    first = rules[0] if rules else {}
    if first.get("action") != "Ignore" or {
        "type": "DisruptionTarget",
        "status": "True",
    } not in first.get("onPodConditions", []):
        yield Finding("job-counts-disruption", subject, "its first rule must ignore disruptions")
    names = {container["name"] for container in pod_of(job)["containers"]}
    for rule in rules:
        named = rule.get("onExitCodes", {}).get("containerName")
        if named is not None and named not in names:
            yield Finding("job-rule-unknown-container", subject, f"a rule names {named!r}")


def _template(job: Object) -> Iterator[Finding]:
    spec, subject = job["spec"], name_of(job)
    fatal: set[int] = set()
    for rule in spec.get("podFailurePolicy", {}).get("rules", ()):
        codes = rule.get("onExitCodes", {})
        if rule["action"] == "FailJob" and codes.get("operator") == "In":
            fatal |= set(codes["values"])
    if fatal != FATAL_EXIT_CODES:
        yield Finding(
            "job-retries-bad-input",
            subject,
            f"FailJob is for {sorted(fatal)}; it must be {sorted(FATAL_EXIT_CODES)}",
        )
    if not spec.get("suspend"):
        yield Finding("template-runs", subject, "is not suspended")
    if _QUEUE_LABEL in job["metadata"].get("labels", {}):
        yield Finding("template-runs", subject, f"{_QUEUE_LABEL} on it lets Kueue start it")
    if spec.get("podReplacementPolicy") != "Failed":
        yield Finding("template-two-pods", subject, "podReplacementPolicy must be Failed")
