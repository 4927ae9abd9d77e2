"""Long runs end, are repeated where that helps, and fail at once where it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Object, Rendered, job_spec_of, name_of, pod_of

RULES = {
    "job-restarts-in-place": "a Job with a failure policy has restartPolicy Never",
    "job-endless": "a Job has a deadline and a bound of repeats",
    "job-counts-disruption": "a pod pushed off its node does not count: the first rule says so",
    "job-rule-unknown-container": "a rule of exit codes names a container of the Job",
    "job-retries-bad-input": "a run whose input is refused fails at once",
    "template-runs": "a template is suspended: it makes nothing by itself",
    "queue-unknown": "a queue that a run waits in exists, and the run begins suspended",
    "run-without-model": "runs are told the model that fetch-weights brings",
    "template-two-pods": "a run's next pod waits for the end of the last: one checkpoint, one writer",
}

FATAL_EXIT_CODES = {2, 3, 4, 5, 8}
"""Of the worker (services/inpaint/worker/README.md): the same again would end the same way."""

_QUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def check(world: Rendered) -> Iterator[Finding]:
    """Yield the faults of Jobs."""
    for job in world.of_kind("Job", "CronJob"):
        yield from _job(job)
    for template in world.of_kind("CronJob"):
        yield from _template(template)
        yield from _queue(world, template)
    yield from _model(world)


def _job(job: Object) -> Iterator[Finding]:
    spec, subject = job_spec_of(job), name_of(job)
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
    spec, subject = job_spec_of(job), name_of(job)
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
    if not job["spec"].get("suspend"):
        yield Finding("template-runs", subject, "is not suspended")
    if spec.get("podReplacementPolicy") != "Failed":
        yield Finding("template-two-pods", subject, "podReplacementPolicy must be Failed")


def _model(world: Rendered) -> Iterator[Finding]:
    fetched = [
        (environment["DIFFUSION_MODEL"], environment["DIFFUSION_REVISION"])
        for container in world.containers()
        if container.owner["kind"] == "Job"
        and "DIFFUSION_MODEL" in (environment := world.environment(container))
    ]
    for container in world.containers():
        environment = world.environment(container)
        if environment.get("EPIPAR_INPAINT_RUNNER") != "kubernetes":
            continue
        settings = json.loads(environment.get("EPIPAR_INPAINT_NERFILLER_SETTINGS", "{}"))
        named = (settings.get("model_id", ""), settings.get("model_revision", ""))
        if named not in fetched:
            yield Finding(
                "run-without-model",
                container.name,
                f"EPIPAR_INPAINT_NERFILLER_SETTINGS names {named}; fetched is {fetched}",
            )


def _queue(world: Rendered, job: Object) -> Iterator[Finding]:
    made = job["spec"]["jobTemplate"]
    queue = made.get("metadata", {}).get("labels", {}).get(_QUEUE_LABEL)
    if queue is None:
        return
    if world.find("LocalQueue", queue) is None:
        yield Finding("queue-unknown", name_of(job), f"there is no LocalQueue {queue!r}")
    if not made["spec"].get("suspend"):
        yield Finding("queue-unknown", name_of(job), "its runs must begin suspended")
