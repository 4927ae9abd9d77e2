"""The objects of one rendered overlay, and the ways in which checks look at them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""An object or a part of one, as YAML has it."""

_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob")


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a workload.

    Attributes:
        owner: the workload.
        spec: of the container.
    """

    owner: Object
    spec: Object

    @property
    def name(self) -> str:
        """Kind and name of the workload, and the container's own name."""
        return f"{name_of(self.owner)} container {self.spec['name']}"

    @property
    def ports(self) -> dict[str, int]:
        """Numbers by name."""
        return {port["name"]: port["containerPort"] for port in self.spec.get("ports", ())}


@dataclass(frozen=True, slots=True)
class Rendered:
    """All objects of one overlay."""

    objects: list[Object]

    def of_kind(self, *kinds: str) -> Iterator[Object]:
        """Yield the objects of some kinds."""
        return (item for item in self.objects if item["kind"] in kinds)

    def find(self, kind: str, name: str) -> Object | None:
        """Return an object by name."""
        return next((i for i in self.of_kind(kind) if i["metadata"]["name"] == name), None)

    def workloads(self) -> Iterator[Object]:
        """Yield all that makes pods."""
        return self.of_kind(*WORKLOADS)

    def containers(self) -> Iterator[Container]:
        """Yield the containers of all workloads, those that run first among them."""
        for owner in self.workloads():
            pod = pod_of(owner)
            for spec in [*pod.get("initContainers", ()), *pod["containers"]]:
                yield Container(owner, spec)

    def selected(self, selector: Mapping[str, Any]) -> list[Object]:
        """Return the workloads whose pods a label selector takes."""
        return [item for item in self.workloads() if matches(selector, pod_labels(item))]

    def environment(self, container: Container) -> dict[str, str]:
        """Return the variables of a container whose values stand in the manifests.

        Values of secrets are "(secret)", those of fields "(field)"; $(NAME) is expanded as a kubelet
        does it, by what stands before it in the list.
        """
        found: dict[str, str] = {}
        for source in container.spec.get("envFrom", ()):
            kind, reference = ("ConfigMap", source.get("configMapRef"))
            if reference is None:
                kind, reference = ("Secret", source["secretRef"])
            there = self.find(kind, reference["name"]) or {}
            data = {**there.get("data", {}), **there.get("stringData", {})}
            found |= {k: v if kind == "ConfigMap" else "(secret)" for k, v in data.items()}
        listed: dict[str, str] = {}
        for variable in container.spec.get("env", ()):
            listed[variable["name"]] = self._value(variable, listed)
        return found | listed

    def _value(self, variable: Mapping[str, Any], before: Mapping[str, str]) -> str:
        given = variable.get("valueFrom", {})
        if reference := given.get("configMapKeyRef"):
            there = self.find("ConfigMap", reference["name"]) or {}
            return str(there.get("data", {}).get(reference["key"], ""))
        if given:
            return "(secret)" if "secretKeyRef" in given else "(field)"
        text = str(variable.get("value", ""))
        return _REFERENCE.sub(lambda match: before.get(match[1], match[0]), text)


def name_of(item: Object) -> str:
    """Return "Kind/name"."""
    return f"{item['kind']}/{item['metadata']['name']}"


def pod_of(workload: Object) -> Object:
    """Return the pod's spec of a workload."""
    spec: Object = _template_of(workload)["spec"]
    return spec


def pod_labels(workload: Object) -> dict[str, str]:
    """Return the labels that a workload's pods get."""
    labels: dict[str, str] = _template_of(workload).get("metadata", {}).get("labels", {})
    return labels


def job_spec_of(item: Object) -> Object:
    """Return the spec of a Job, or of the Jobs that a CronJob makes."""
    spec: Object = item["spec"]
    if item["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec


def _template_of(workload: Object) -> Object:
    template: Object = job_spec_of(workload)["template"]
    return template


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector takes labels; an empty one takes all.

    Raises:
        ValueError: an operator that is not known here.
    """
    wanted: Mapping[str, str] = selector.get("matchLabels", {})
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for rule in selector.get("matchExpressions", ()):
        key, operator, values = rule["key"], rule["operator"], rule.get("values", ())
        there = {
            "In": labels.get(key) in values,
            "NotIn": labels.get(key) not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if operator not in there:
            raise ValueError(f"operator is {operator!r}; it must be one of {', '.join(there)}")
        if not there[operator]:
            return False
    return True


def amount(text: str | float) -> float:
    """Return a quantity as a number: "500m" is 0.5, "2Gi" is 2147483648.

    Raises:
        ValueError: it is no quantity.
    """
    shown = str(text)
    scales = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    scales |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGT", 1)}
    for suffix in sorted(scales, key=len, reverse=True):
        if shown.endswith(suffix):
            return float(shown.removesuffix(suffix)) * scales[suffix]
    return float(shown)
