"""Envoy's typed configs as plain dicts."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]
"""A message of Envoy's API in its JSON form."""

EXTENSIONS = "envoy.extensions."
HTTP_FILTERS = f"{EXTENSIONS}filters.http."


def typed(message: str, **fields: Any) -> Config:
    """Return a message that says its own type.

    Args:
        message: full name, such as "envoy.extensions.filters.http.cors.v3.Cors".
        fields: of the message.
    """
    return {"@type": f"type.googleapis.com/{message}", **fields}


def http_filter(name: str, message: str, **fields: Any) -> Config:
    """Return one filter of the chain.

    Args:
        name: without "envoy.filters.http.", such as "cors".
        message: behind "envoy.extensions.filters.http.", such as "cors.v3.Cors".
        fields: of the message.
    """
    return {
        "name": f"envoy.filters.http.{name}",
        "typed_config": typed(HTTP_FILTERS + message, **fields),
    }


def seconds(value: float) -> str:
    """Return a duration as Envoy reads it."""
    return f"{value:g}s"


def socket_address(host: str, port: int) -> Config:
    """Return an address."""
    return {"socket_address": {"address": host, "port_value": port}}
