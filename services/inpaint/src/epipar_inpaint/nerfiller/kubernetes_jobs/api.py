"""What is asked of the cluster: Jobs, their pods and the template; typed errors, bounded patience.

Alone imports the official client, which the extra ``epipar-inpaint[kubernetes]`` brings.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from epipar_inpaint.nerfiller.kubernetes_jobs.job_spec import RUN_LABEL
from epipar_inpaint.nerfiller.kubernetes_jobs.settings import KubernetesSettings, account_namespace
from epipar_kit.errors import EngineUnavailableError

if TYPE_CHECKING:
    from kubernetes.client import ApiException

_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.1, 8.0
_CONNECT_S, _ANSWER_S = 5.0, 30.0
_RETRY_AFTER_S = 30.0
_CODES = {404: "NotFound", 409: "Conflict", 410: "Gone"}

_Result = TypeVar("_Result")


class AnswerError(Exception):
    """The cluster said no in a way that the caller of a request knows what to do with.

    Attributes:
        status: 404, 409 or 410.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{_CODES[status]}: {message}")
        self.status = status


class ClusterApi:
    """A namespace of a cluster.

    Args:
        settings: which, and how patient.

    Raises:
        EngineUnavailableError: ENGINE_UNAVAILABLE, no cluster is configured, or the client lacks.
    """

    def __init__(self, settings: KubernetesSettings) -> None:
        try:
            from kubernetes import client
        except ImportError:
            raise _unavailable(
                "runs as Jobs need the client of Kubernetes; pip install 'epipar-inpaint[kubernetes]'"
            ) from None
        self._patience_s = settings.patience_s
        self._ended = threading.Event()
        configuration, self.namespace = _configuration(settings)
        configuration.retries = False  # they are made here, within a bound
        self._client = client.ApiClient(configuration)
        self._batch = client.BatchV1Api(self._client)
        self._core = client.CoreV1Api(self._client)

    def close(self) -> None:
        """End all waiting; what is asked from now on is asked once."""
        self._ended.set()

    def cron_job(self, name: str) -> dict[str, Any]:
        """Return a CronJob.

        Raises:
            AnswerError: 404.
        """
        found = self._ask(
            "get cronjobs.batch",
            lambda: self._batch.read_namespaced_cron_job(name, self.namespace, **_PATIENT),
        )
        return {"kind": "CronJob", **self._plain(found)}

    def create_job(self, job: dict[str, Any]) -> None:
        """Make a Job; a field that the server does not know is refused.

        Raises:
            AnswerError: 409, there is one of this name.
        """
        self._ask(
            "create jobs.batch",
            lambda: self._batch.create_namespaced_job(
                self.namespace, job, field_validation="Strict", **_PATIENT
            ),
        )

    def job(self, name: str) -> dict[str, Any] | None:
        """Return a Job; None where there is none."""
        try:
            return self._plain(
                self._ask(
                    "get jobs.batch",
                    lambda: self._batch.read_namespaced_job(name, self.namespace, **_PATIENT),
                )
            )
        except AnswerError as answer:
            if answer.status != 404:
                raise
            return None

    def listed_job(self, name: str) -> tuple[dict[str, Any] | None, str]:
        """Return a Job as a list shows it, None where it is not, and the list's version."""
        found = self._plain(
            self._ask(
                "list jobs.batch",
                lambda: self._batch.list_namespaced_job(
                    self.namespace, field_selector=f"metadata.name={name}", **_PATIENT
                ),
            )
        )
        items = found.get("items") or []
        return (items[0] if items else None), str(found["metadata"]["resourceVersion"])

    def watched_job(
        self, name: str, version: str, watch_s: float
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (type, Job) from a version on, until the server or the connection ends it.

        A watch that breaks is simply over: whoever asked asks again from the last version.

        Raises:
            AnswerError: 410, the version is too old.
        """
        import urllib3
        from kubernetes import watch
        from kubernetes.client import ApiException

        events = watch.Watch()
        try:
            for event in events.stream(
                self._batch.list_namespaced_job,
                self.namespace,
                field_selector=f"metadata.name={name}",
                resource_version=version,
                allow_watch_bookmarks=True,
                timeout_seconds=max(1, int(watch_s)),
                _request_timeout=(_CONNECT_S, watch_s + 10.0),
            ):
                yield str(event["type"]), event["raw_object"]
        except ApiException as error:
            if error.status not in _TRANSIENT:
                raise self._typed(error, "watch jobs.batch") from error
            self._ended.wait(_FIRST_PAUSE_S * random.uniform(1, 5))  # noqa: S311 - jitter
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            self._ended.wait(_FIRST_PAUSE_S * random.uniform(1, 5))  # noqa: S311 - jitter
        finally:
            events.stop()

    def delete_job(self, name: str, *, patience_s: float | None = None) -> None:
        """Delete a Job; it is gone when its pods are. One that is not there does not matter."""
        try:
            self._ask(
                "delete jobs.batch",
                lambda: self._batch.delete_namespaced_job(
                    name, self.namespace, propagation_policy="Foreground", **_PATIENT
                ),
                patience_s,
            )
        except AnswerError as answer:
            if answer.status != 404:
                raise

    def pods(self, label: str) -> list[dict[str, Any]]:
        """Return the pods of a run, the oldest first."""
        found = self._plain(
            self._ask(
                "list pods",
                lambda: self._core.list_namespaced_pod(
                    self.namespace, label_selector=f"{RUN_LABEL}={label}", **_PATIENT
                ),
            )
        )
        pods = list(found.get("items") or [])
        return sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))

    def _plain(self, found: Any) -> dict[str, Any]:
        plain: dict[str, Any] = self._client.sanitize_for_serialization(found)
        return plain

    def _ask(
        self, right: str, ask: Callable[[], _Result], patience_s: float | None = None
    ) -> _Result:
        """Ask, again and again while the cluster does not answer, and turn errors into ours."""
        import urllib3
        from kubernetes.client import ApiException

        patience_s = self._patience_s if patience_s is None else patience_s
        deadline_s, pause_s = time.monotonic() + patience_s, _FIRST_PAUSE_S
        while True:
            try:
                return ask()
            except ApiException as error:
                if error.status not in _TRANSIENT:
                    raise self._typed(error, right) from error
                fault, pause_s = (
                    f"{error.status} {error.reason}",
                    max(pause_s, _retry_after_s(error)),
                )
            except (urllib3.exceptions.HTTPError, OSError) as error:
                fault = f"{type(error).__name__}: {error}"
            if time.monotonic() + pause_s > deadline_s or self._ended.is_set():
                raise EngineUnavailableError(
                    "ENGINE_UNAVAILABLE",
                    f"the cluster does not answer ({fault[:200]}); a run that was begun goes on, "
                    "repeat the call to follow it",
                    retry_after_s=_RETRY_AFTER_S,
                )
            self._ended.wait(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            pause_s = min(pause_s * 2, _MAX_PAUSE_S)

    def _typed(self, error: ApiException, right: str) -> Exception:
        said = _message(error)
        if error.status in _CODES:
            return AnswerError(error.status, said)
        if error.status in (401, 403):
            what = "does not know" if error.status == 401 else "forbids"
            return _unavailable(
                f"the cluster {what} the inpaint service: it needs the right to {right} in "
                f"namespace {self.namespace} (k8s/components/inpaint-jobs/rbac.yaml); it says: {said}",
                right=right,
            )
        return _unavailable(f"the cluster refuses to {right} ({error.status}): {said}")


_PATIENT: dict[str, Any] = {"_request_timeout": (_CONNECT_S, _ANSWER_S)}


def _configuration(settings: KubernetesSettings) -> tuple[Any, str]:
    """Return the client's configuration and the namespace."""
    from kubernetes import client, config

    configuration = client.Configuration()
    namespace = settings.namespace
    try:
        if not settings.context and (own := account_namespace()):
            config.load_incluster_config(client_configuration=configuration)
            return configuration, namespace or own
        file = os.environ.get("KUBECONFIG") or None
        context = settings.context or None
        config.load_kube_config(file, context=context, client_configuration=configuration)
        contexts, current = config.list_kube_config_contexts(file)
    except config.ConfigException as error:
        raise _unavailable(
            f"no cluster is configured ({error}); run in a pod with a service account, or set "
            "KUBECONFIG and EPIPAR_INPAINT_KUBERNETES_CONTEXT"
        ) from error
    chosen = next((c for c in contexts if c["name"] == settings.context), current)
    return configuration, namespace or str(chosen["context"].get("namespace") or "default")


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])[:500]
    except (ValueError, KeyError, TypeError):
        return str(error.reason)[:200]


def _retry_after_s(error: ApiException) -> float:
    try:
        return min(float((error.headers or {}).get("Retry-After") or 0), _MAX_PAUSE_S)
    except ValueError:
        return 0.0


def _unavailable(message: str, **metadata: object) -> EngineUnavailableError:
    return EngineUnavailableError("ENGINE_UNAVAILABLE", message, retry_after_s=None, **metadata)
