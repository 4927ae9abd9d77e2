"""Which path goes where, for how long, and what is repeated when it fails."""

from __future__ import annotations

from epipar_envoy.filters import BODY_LIMIT, cors_policy
from epipar_envoy.services import UPSTREAMS, WEB, Upstream
from epipar_envoy.settings import EnvoySettings, items
from epipar_envoy.typed import Config, seconds, typed
from epipar_kit.settings import is_loopback

_LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"]
# A gateway on loopback answers to loopback's names alone.
_AS_UPSTREAM = {"auto_host_rewrite": True, "append_x_forwarded_host": True}
_BACKSTOP_S = 5.0
_BACK_OFF = {"base_interval": "0.1s", "max_interval": "2s"}
# What never reached the service may always be repeated; what may have reached it only where
# doing it twice does no harm.
_UNSENT = "connect-failure,refused-stream"
_UNBEGUN = f"{_UNSENT},reset-before-request"
_ANY_FAILURE = f"{_UNBEGUN},unavailable"


def route_config(settings: EnvoySettings) -> Config:
    """Return the routes of the public listener; the first match counts."""
    public: Config = {
        "name": "public",
        "domains": _hosts(settings),
        "routes": _routes(settings),
        "typed_per_filter_config": {"envoy.filters.http.cors": cors_policy(settings)},
    }
    hosts = [public]
    if public["domains"] != ["*"]:
        hosts.append(_any_other_host(public["domains"]))
    return {"name": "public", "ignore_port_in_host_matching": True, "virtual_hosts": hosts}


def _hosts(settings: EnvoySettings) -> list[str]:
    given = items(settings.hosts)
    if given:
        return ["*"] if "*" in given else given
    return list(_LOOPBACK_NAMES) if is_loopback(settings.host) else ["*"]


def _any_other_host(known: list[str]) -> Config:
    text = f"this server is {', '.join(known)}; see EPIPAR_ENVOY_HOSTS\n"
    return {
        "name": "other",
        "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, **_answer(421, text)}],
    }


def _routes(settings: EnvoySettings) -> list[Config]:
    routes: list[Config] = [{"match": {"path": "/healthz"}, **_answer(200, "ok\n")}]
    for upstream in UPSTREAMS:
        routes += _grpc_routes(upstream, settings)
    routes += [
        # Health, reflection and channelz stay inside.
        {"match": {"prefix": "/grpc."}, **_answer(403, "this stays inside\n")},
        {"match": {"prefix": "/epipar."}, **_answer(404, "there is no such service\n")},
        {
            "match": {"prefix": "/uploads"},
            "route": {
                "cluster": WEB,
                **_AS_UPSTREAM,
                "timeout": "0s",
                "idle_timeout": seconds(settings.upload_idle_s),
            },
            # The gateway has limits of its own, and says them in words.
            "typed_per_filter_config": {
                BODY_LIMIT: typed("envoy.config.route.v3.FilterConfig", disabled=True)
            },
        },
        {
            "match": {"prefix": "/"},
            "route": {
                "cluster": WEB,
                **_AS_UPSTREAM,
                "timeout": "0s",
                "idle_timeout": seconds(settings.stream_idle_s),
                "retry_policy": _retries(_UNBEGUN),
            },
        },
    ]
    return routes


def _grpc_routes(upstream: Upstream, settings: EnvoySettings) -> list[Config]:
    prefix = f"/{upstream.package}."
    if not upstream.address(settings):
        text = f"{upstream.what} is not part of this suite; set " + settings.variable(
            f"{upstream.name}_address"
        )
        return [{"match": {"prefix": prefix}, **_answer(503, text)}]
    streams = [
        _grpc_route({"path": prefix + method}, upstream, _retries(_UNBEGUN), settings, None)
        for method in upstream.streams
    ]
    limit_s = settings.unary_timeout_s
    reads = [
        _grpc_route({"path": prefix + method}, upstream, _retries(_ANY_FAILURE), settings, limit_s)
        for method in upstream.reads
    ]
    rest = _grpc_route({"prefix": prefix}, upstream, _retries(_UNSENT), settings, limit_s)
    return [*streams, *reads, rest]


def _grpc_route(
    match: Config,
    upstream: Upstream,
    retries: Config,
    settings: EnvoySettings,
    limit_s: float | None,
) -> Config:
    """Return a route of calls.

    A call's time is limited by the deadline that travels with it, in "grpc-timeout": the service
    itself ends the call, with a status. Envoy's own limits would rewrite that header and break the
    stream at the same moment, and the caller would see INTERNAL in place of DEADLINE_EXCEEDED. So
    a call that brings no deadline is given one, and a service that keeps to none is cut when it
    was silent for longer than that.
    """
    idle_s = settings.stream_idle_s if limit_s is None else limit_s + _BACKSTOP_S
    route: Config = {
        "match": match,
        "route": {
            "cluster": upstream.name,
            "timeout": "0s",
            "idle_timeout": seconds(idle_s),
            "retry_policy": retries,
        },
    }
    if limit_s is None:
        route["route"]["max_stream_duration"] = {"max_stream_duration": "0s"}
    else:
        deadline = {"key": "grpc-timeout", "value": f"{round(limit_s * 1000)}m"}
        route["request_headers_to_add"] = [{"header": deadline, "append_action": "ADD_IF_ABSENT"}]
    return route


def _retries(on: str) -> Config:
    return {"retry_on": on, "num_retries": 3, "retry_back_off": _BACK_OFF}


def _answer(status: int, text: str) -> Config:
    """Return the answer of Envoy itself; a gRPC caller sees it as a status with this text."""
    return {"direct_response": {"status": status, "body": {"inline_string": text}}}
