"""The depth service as a program: makes the parts and joins them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from epipar.depth.v1 import depth_service_pb2_grpc as pb_grpc
from epipar_depth.service import NAME, DepthService
from epipar_depth.settings import DepthSettings
from epipar_kit.program import service_main
from epipar_kit.server import Service
from epipar_kit.store import open_store


def build(settings: DepthSettings) -> Sequence[Service]:
    """Make the service of these settings."""
    servicer = DepthService(open_store(settings.store_url, settings.s3), settings.processes)
    return [
        Service(NAME, lambda server: pb_grpc.add_DepthServiceServicer_to_server(servicer, server))
    ]


def main() -> int:
    """Run the service; return the exit status."""
    return service_main("depth", DepthSettings, build)


if __name__ == "__main__":
    sys.exit(main())
