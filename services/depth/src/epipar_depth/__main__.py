"""The depth service as a program: makes the parts and joins them."""

from __future__ import annotations

import sys

from epipar.depth.v1 import depth_service_pb2_grpc as pb_grpc
from epipar_depth.da3.companion import model_hosts
from epipar_depth.da3.hosts import HostPool
from epipar_depth.da3.queue_lengths import HostQueueLengths
from epipar_depth.service import NAME, DepthService
from epipar_depth.settings import DepthSettings
from epipar_kit.program import service_main
from epipar_kit.server import Program, Service
from epipar_kit.store import open_store


def build(settings: DepthSettings) -> Program:
    """Make the service of these settings."""
    hosts = HostPool(settings.da3(), own_session=True)
    store = open_store(settings.store_url, settings.s3)
    servicer = DepthService(store, settings.processes, hosts)
    service = Service(
        NAME, lambda server: pb_grpc.add_DepthServiceServicer_to_server(servicer, server)
    )
    collectors = [HostQueueLengths(hosts.statuses)]
    return Program([service], [model_hosts(hosts, settings.da3_warm)], collectors=collectors)


def main() -> int:
    """Run the service; return the exit status."""
    return service_main("depth", DepthSettings, build)


if __name__ == "__main__":
    sys.exit(main())
