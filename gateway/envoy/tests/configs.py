"""Reading a rendered configuration: its routes, its clusters, what answers a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from epipar_envoy.settings import EnvoySettings, load_envoy_settings
from epipar_envoy.variants import VARIANTS

Config = dict[str, Any]


def settings(variant: str, **values: Any) -> EnvoySettings:
    return load_envoy_settings(**{**VARIANTS[variant], **values})


def manager(config: Config) -> Config:
    """Return the HTTP connection manager of the public listener."""
    [public] = [x for x in config["static_resources"]["listeners"] if x["name"] == "public"]
    found: Config = public["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def routes(config: Config) -> list[Config]:
    found: list[Config] = manager(config)["route_config"]["virtual_hosts"][0]["routes"]
    return found


def clusters(config: Config) -> dict[str, Config]:
    return {cluster["name"]: cluster for cluster in config["static_resources"]["clusters"]}


def path_of(route: Config) -> str:
    return str(route["match"].get("path") or route["match"]["prefix"])


def chosen(config: Config, path: str) -> Config:
    """Return the first route that matches, as Envoy does."""
    for route in routes(config):
        match = route["match"]
        if match.get("path") == path or path.startswith(match.get("prefix", "\0")):
            return route
    raise AssertionError(f"nothing answers {path}")


def all_values(config: Any, key: str) -> Iterator[Any]:
    if isinstance(config, dict):
        for name, value in config.items():
            if name == key:
                yield value
            yield from all_values(value, key)
    elif isinstance(config, list):
        for value in config:
            yield from all_values(value, key)
