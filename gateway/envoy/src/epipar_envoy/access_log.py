"""One line of JSON for each request, on standard error or in a file."""

from __future__ import annotations

from epipar_envoy.settings import EnvoySettings
from epipar_envoy.typed import Config, typed

_FIELDS = {
    "event": "request",
    "time": "%START_TIME%",
    "method": "%REQ(:METHOD)%",
    # The path without its query: signed URLs carry their right in it.
    "path": "%PATH(NQ)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
    "ms": "%DURATION%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "upstream": "%UPSTREAM_HOST%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "traceparent": "%REQ(TRACEPARENT)%",
}


def access_log(settings: EnvoySettings) -> list[Config]:
    """Return the log; never on standard output, which carries the ready line alone."""
    log_format = {"json_format": _FIELDS, "omit_empty_values": True}
    if settings.access_log is not None:
        return [
            {
                "name": "envoy.access_loggers.file",
                "typed_config": typed(
                    "envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    path=str(settings.access_log.resolve()),
                    log_format=log_format,
                ),
            }
        ]
    return [
        {
            "name": "envoy.access_loggers.stderr",
            "typed_config": typed(
                "envoy.extensions.access_loggers.stream.v3.StderrAccessLog", log_format=log_format
            ),
        }
    ]
