"""The gateway as a program: makes the parts and joins them."""

from __future__ import annotations

import sys

from epipar_gateway.gateway import Gateway
from epipar_gateway.settings import GatewaySettings
from epipar_kit.program import service_main
from epipar_kit.server import Program
from epipar_kit.store import open_store


def build(settings: GatewaySettings) -> Program:
    """Make the gateway of these settings."""
    store = open_store(settings.store_url)
    from epipar_gateway.interim import FolderUploads

    gateway = Gateway(settings, store, FolderUploads(store))
    return Program(gateway.services, [gateway.running()], gateway.hub.close)


def main() -> int:
    """Run the gateway; return the exit status."""
    return service_main("gateway", GatewaySettings, build)


if __name__ == "__main__":
    sys.exit(main())
