"""The export service as a program: makes the parts and joins them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from epipar.export.v1 import export_service_pb2_grpc as pb_grpc
from epipar_export.service import NAME, ExportService
from epipar_export.settings import ExportSettings
from epipar_kit.program import service_main
from epipar_kit.server import Service
from epipar_kit.store import open_store


def build(settings: ExportSettings) -> Sequence[Service]:
    """Make the service of these settings."""
    servicer = ExportService(open_store(settings.store_url, settings.s3), settings.threads)
    return [
        Service(NAME, lambda server: pb_grpc.add_ExportServiceServicer_to_server(servicer, server))
    ]


def main() -> int:
    """Run the service; return the exit status."""
    return service_main("export", ExportSettings, build)


if __name__ == "__main__":
    sys.exit(main())
