"""The inpaint service as a program: makes the parts and joins them."""

from __future__ import annotations

import sys

from epipar.inpaint.v1 import inpaint_service_pb2_grpc as pb_grpc
from epipar_inpaint.service import NAME, InpaintService
from epipar_inpaint.settings import InpaintSettings
from epipar_inpaint.warming import warming
from epipar_kit.program import service_main
from epipar_kit.server import Program, Service
from epipar_kit.store import open_store


def build(settings: InpaintSettings) -> Program:
    """Make the service of these settings."""
    servicer = InpaintService(open_store(settings.store_url, settings.s3), settings.threads)
    service = Service(
        NAME, lambda server: pb_grpc.add_InpaintServiceServicer_to_server(servicer, server)
    )
    return Program([service], [warming()] if settings.warm else [])


def main() -> int:
    """Run the service; return the exit status."""
    return service_main("inpaint", InpaintSettings, build)


if __name__ == "__main__":
    sys.exit(main())
