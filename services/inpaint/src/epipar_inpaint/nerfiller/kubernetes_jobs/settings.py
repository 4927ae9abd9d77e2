"""Where runs go as Jobs, and how patient their runner is; read from EPIPAR_INPAINT_KUBERNETES_*.

What a run's pod is (image, GPU, selector, tolerations, volumes, deadline, back-off) stands in the
template, which overlays shape like every other manifest.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from epipar_kit.errors import EngineUnavailableError

PREFIX = "EPIPAR_INPAINT_KUBERNETES_"
DEFAULT_TEMPLATE = "inpaint-run"
_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """How runs become Jobs.

    Attributes:
        template: name of a CronJob of the namespace whose jobTemplate is a run's, or the path
            (with a slash) of a manifest of a Job or a CronJob.
        namespace: of the Jobs; "" is the service account's own, else that of the context.
        context: of kubectl's configuration; "" is the cluster that the service runs in, else
            kubectl's current one.
        queue: a queue of Kueue that admits the runs; "" leaves that to the template.
        device: where the worker computes: "auto", "cuda" or "cpu".
        patience_s: how long an unreachable cluster or store is tried again.
        pull_patience_s: how long an image may fail to be pulled.
        look_s: how often progress is looked for in the store, and pods while a run waits.
        watch_s: how long one watch is kept open.
        cancel_s: how long a cancel waits for the checkpoint; the pod goes on carrying it away.
    """

    template: str = DEFAULT_TEMPLATE
    namespace: str = ""
    context: str = ""
    queue: str = ""
    device: str = "auto"
    patience_s: float = 120.0
    pull_patience_s: float = 600.0
    look_s: float = 2.0
    watch_s: float = 300.0
    cancel_s: float = 4.0

    def __post_init__(self) -> None:
        for name in ("patience_s", "pull_patience_s", "look_s", "watch_s", "cancel_s"):
            value = getattr(self, name)
            if not 0 < value <= 86_400:
                raise _unavailable(
                    f"{_variable(name)} is {value}; it must be more than 0 s, a day at most"
                )

    @classmethod
    def from_variables(cls) -> KubernetesSettings:
        """Read the variables.

        Raises:
            EngineUnavailableError: ENGINE_UNAVAILABLE, with the variable at fault.
        """
        given: dict[str, str | float] = {}
        for field in fields(cls):
            text = os.environ.get(_variable(field.name), "")
            if not text:
                continue
            try:
                given[field.name] = float(text) if isinstance(field.default, float) else text
            except ValueError:
                raise _unavailable(
                    f"{_variable(field.name)} is {text!r}; it must be seconds"
                ) from None
        return cls(**given)  # type: ignore[arg-type]  # by the fields' own kinds

    @property
    def template_file(self) -> Path | None:
        """The template's file; None where it is a CronJob of the cluster."""
        return Path(self.template) if "/" in self.template else None


def account_namespace() -> str:
    """Return the namespace that a pod's account lives in; "" outside of a pod."""
    return _ACCOUNT_NAMESPACE.read_text().strip() if _ACCOUNT_NAMESPACE.is_file() else ""


def _variable(name: str) -> str:
    if name == "device":
        return "EPIPAR_INPAINT_NERFILLER_DEVICE"
    return PREFIX + name.upper()


def _unavailable(message: str) -> EngineUnavailableError:
    return EngineUnavailableError("ENGINE_UNAVAILABLE", message, retry_after_s=None)
