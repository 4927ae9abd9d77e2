"""The inpaint service as a program: makes the parts and joins them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from epipar.inpaint.v1 import inpaint_service_pb2_grpc as pb_grpc
from epipar_inpaint.service import NAME, InpaintService
from epipar_inpaint.settings import InpaintSettings
from epipar_kit.program import service_main
from epipar_kit.server import Service
from epipar_kit.store import open_store


def build(settings: InpaintSettings) -> Sequence[Service]:
    """Make the service of these settings."""
    servicer = InpaintService(open_store(settings.store_url, settings.s3), settings.threads)
    return [
        Service(NAME, lambda server: pb_grpc.add_InpaintServiceServicer_to_server(servicer, server))
    ]


def main() -> int:
    """Run the service; return the exit status."""
    return service_main("inpaint", InpaintSettings, build)


if __name__ == "__main__":
    sys.exit(main())
