"""Every variable of ours is a setting of the program that gets it, with a value it takes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic_settings import BaseSettings

from epipar_depth.settings import DepthSettings
from epipar_envoy.settings import EnvoySettings, load_envoy_settings
from epipar_export.settings import ExportSettings
from epipar_gateway.settings import GatewaySettings
from epipar_inpaint.settings import InpaintSettings
from epipar_kit.settings import SettingsError, load_settings
from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Rendered

RULES = {
    "setting-refused": "the program's own settings class takes the variables it gets",
    "setting-foreign": "a program gets no variables of another's",
    "executor-not-stable": "a gateway replica is named for its pod, and keeps its state outside",
    "service-address": "an address names a Service of the suite, and its port",
    "port-differs": "a program listens on the ports that its container says",
}

CLASSES: dict[str, Any] = {
    "depth": DepthSettings,
    "export": ExportSettings,
    "inpaint": InpaintSettings,
    "gateway": GatewaySettings,
    "envoy": EnvoySettings,
}

_SHARED = ("EPIPAR_STORE_", "EPIPAR_SCRATCH_")
_STAND_INS = {"url": "postgresql://user@database/epipar"}


def check(world: Rendered) -> Iterator[Finding]:
    """Yield variables that their programs would refuse, or that lead nowhere."""
    for container in world.containers():
        image: str = container.spec["image"]
        name = image.rpartition("/")[2].partition(":")[0]
        name = name.removeprefix("epipar-").removesuffix("-gpu")
        if name not in CLASSES or "command" in container.spec:  # another program of the image
            continue
        variables = world.environment(container)
        ours = {k: v for k, v in variables.items() if k.startswith("EPIPAR_")}
        for variable in sorted(ours):
            if not variable.startswith((f"EPIPAR_{name.upper()}_", *_SHARED)):
                yield Finding("setting-foreign", container.name, f"gets {variable}")
        yield from _refused(container.name, name, container.spec, ours)
        yield from _addresses(world, container.name, ours)
        yield from _ports(container.name, name, container.ports, ours)
        if name == "gateway":
            yield from _gateway(container.name, container.spec)


def _refused(
    subject: str, name: str, spec: Mapping[str, Any], ours: Mapping[str, str]
) -> Iterator[Finding]:
    filled = dict(ours)
    for variable in spec.get("env", ()):
        source = variable.get("valueFrom", {})
        if "secretKeyRef" in source:
            filled[variable["name"]] = _STAND_INS.get(source["secretKeyRef"]["key"], "secret")
        elif "fieldRef" in source:
            filled[variable["name"]] = f"{name}-0"
    cls: type[BaseSettings] = CLASSES[name]
    with only(filled):
        try:
            load_envoy_settings() if name == "envoy" else load_settings(cls)  # type: ignore[type-var]  # of the kit, all but Envoy's
        except SettingsError as error:
            for line in str(error).splitlines():
                yield Finding("setting-refused", subject, line)


def _addresses(world: Rendered, subject: str, ours: Mapping[str, str]) -> Iterator[Finding]:
    for variable, value in sorted(ours.items()):
        if not variable.endswith("_ADDRESS"):
            continue
        host, _, port = value.rpartition(":")
        service = world.find("Service", host)
        numbers = {entry["port"] for entry in service["spec"]["ports"]} if service else set()
        if not port.isdecimal() or int(port) not in numbers:
            yield Finding("service-address", subject, f"{variable} is {value}: no such Service")


def _ports(
    subject: str, name: str, ports: Mapping[str, int], ours: Mapping[str, str]
) -> Iterator[Finding]:
    fields = {"grpc": "port", "public": "port", "http": "http_port", "metrics": "metrics_port"}
    for port, number in ports.items():
        field = fields[port]
        default = CLASSES[name].model_fields[field].default
        heard = int(ours.get(f"EPIPAR_{name.upper()}_{field.upper()}", default))
        if heard != number:
            yield Finding(
                "port-differs", subject, f"port {port} is {number}; the program uses {heard}"
            )


def _gateway(subject: str, spec: Mapping[str, Any]) -> Iterator[Finding]:
    given = {v["name"]: v.get("valueFrom", {}) for v in spec.get("env", ())}
    executor = given.get("EPIPAR_GATEWAY_EXECUTOR_ID", {}).get("fieldRef", {}).get("fieldPath")
    if executor != "metadata.name":
        yield Finding("executor-not-stable", subject, "EXECUTOR_ID must be metadata.name")
    if "secretKeyRef" not in given.get("EPIPAR_GATEWAY_DATABASE_URL", {}):
        yield Finding("executor-not-stable", subject, "DATABASE_URL must come from a secret")


@contextmanager
def only(variables: Mapping[str, str]) -> Iterator[None]:
    """Let this process have no other variables of ours for a while."""
    before = dict(os.environ)
    try:
        for name in [name for name in os.environ if name.startswith("EPIPAR_")]:
            del os.environ[name]
        os.environ.update(variables)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
