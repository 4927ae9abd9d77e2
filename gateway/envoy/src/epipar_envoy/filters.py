"""The chain of HTTP filters, in the order in which a request passes them."""

from __future__ import annotations

from epipar_envoy.jwt import jwt_filter
from epipar_envoy.settings import EnvoySettings, items
from epipar_envoy.typed import HTTP_FILTERS, Config, http_filter, typed

BODY_LIMIT = "envoy.filters.http.body_size_limit"

_ALLOWED_METHODS = "GET, HEAD, POST, PATCH, DELETE, OPTIONS"
_ALLOWED_HEADERS = (
    "authorization,content-type,grpc-timeout,if-match,if-none-match,if-range,range,traceparent,"
    "tus-resumable,upload-checksum,upload-length,upload-metadata,upload-offset,"
    "x-grpc-web,x-http-method-override,x-request-id,x-user-agent"
)
_EXPOSED_HEADERS = (
    "accept-ranges,content-disposition,content-range,epipar-upload,etag,grpc-message,grpc-status,"
    "grpc-status-details-bin,location,retry-after,tus-checksum-algorithm,tus-extension,"
    "tus-max-size,tus-resumable,tus-version,upload-expires,upload-length,upload-metadata,"
    "upload-offset,x-request-id"
)


def http_filters(settings: EnvoySettings) -> list[Config]:
    """Return the chain.

    A preflight is answered before anything else sees it; gRPC-Web becomes gRPC before calls are
    counted; what is too much or not allowed is refused before a body is read.
    """
    filters = [
        http_filter("cors", "cors.v3.Cors"),
        http_filter("grpc_web", "grpc_web.v3.GrpcWeb"),
        http_filter("grpc_stats", "grpc_stats.v3.FilterConfig", stats_for_all_methods=True),
        _rate_limit(settings),
    ]
    if settings.jwt:
        filters.append(jwt_filter(settings))
    filters += [
        http_filter(
            "body_size_limit",
            "body_size_limit.v3.BodySizeLimit",
            max_request_bytes=settings.max_message_bytes,
        ),
        http_filter("router", "router.v3.Router"),
    ]
    return filters


def cors_policy(settings: EnvoySettings) -> Config:
    """Return which other origins' pages may call; none by default."""
    origins = items(settings.cors_origins)
    match: list[Config] = [{"exact": origin} for origin in origins if origin != "*"]
    if "*" in origins:
        match = [{"safe_regex": {"regex": ".*"}}]
    return typed(
        HTTP_FILTERS + "cors.v3.CorsPolicy",
        allow_origin_string_match=match,
        allow_methods=_ALLOWED_METHODS,
        allow_headers=_ALLOWED_HEADERS,
        expose_headers=_EXPOSED_HEADERS,
        max_age="7200",
    )


def _rate_limit(settings: EnvoySettings) -> Config:
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return http_filter(
        "local_ratelimit",
        "local_ratelimit.v3.LocalRateLimit",
        stat_prefix="public",
        token_bucket={
            "max_tokens": 2 * settings.rate_per_s,
            "tokens_per_fill": settings.rate_per_s,
            "fill_interval": "1s",
        },
        filter_enabled=always,
        filter_enforced=always,
        rate_limited_as_resource_exhausted=True,
    )
