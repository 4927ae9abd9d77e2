"""All of Envoy's configuration, from settings."""

from __future__ import annotations

import yaml

from epipar_envoy.clusters import clusters
from epipar_envoy.listener import listeners
from epipar_envoy.settings import EnvoySettings
from epipar_envoy.typed import Config, socket_address, typed


def bootstrap(settings: EnvoySettings) -> Config:
    """Return the bootstrap of these settings; equal settings give equal ones."""
    return {
        "node": {"id": "epipar", "cluster": "epipar"},
        # The admin page can stop Envoy and shows all of this: it never leaves the machine.
        "admin": {"address": socket_address("127.0.0.1", settings.admin_port)},
        "application_log_config": {
            "log_format": {
                "json_format": {
                    "event": "envoy",
                    "timestamp": "%Y-%m-%dT%T.%fZ",
                    "level": "%l",
                    "logger": "%n",
                    "message": "%j",
                }
            }
        },
        "static_resources": {"listeners": listeners(settings), "clusters": clusters(settings)},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": typed(
                        "envoy.extensions.resource_monitors.downstream_connections.v3."
                        "DownstreamConnectionsConfig",
                        max_active_downstream_connections=settings.max_connections,
                    ),
                }
            ]
        },
    }


def rendered(config: Config) -> str:
    """Return a configuration as YAML."""
    return yaml.safe_dump(config, sort_keys=False, width=120)
