"""The objects over HTTP: the parts of the Kubernetes API that the runner and kubectl ask for."""

from __future__ import annotations

import json
import re
import socket
import time
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlparse

from .objects import KINDS, PODS, Key, Objects, RefusalError, now

_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/v1)(?:/namespaces/(?P<ns>[^/]+))?/(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?"
)


class Api:
    """What the handlers share: the objects, rights, and faults to come.

    Attributes:
        denied: (verb, resource) that this account lacks.
        faults: what the next requests meet, in order: a status, or "drop".
        seen: (verb, resource) of all requests.
        connections: number that every drop_watches raises.
    """

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.denied: set[tuple[str, str]] = set()
        self.faults: list[int | str] = []
        self.seen: list[tuple[str, str]] = []
        self.watch_generation = 0
        self.closed = False

    def drop_watches(self) -> None:
        with self.objects.changed:
            self.watch_generation += 1
            self.objects.changed.notify_all()


class Handler(BaseHTTPRequestHandler):
    """One request; ``api`` is given by a subclass."""

    protocol_version = "HTTP/1.1"
    api: Api

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _go(self) -> None:
        url = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else {}
        try:
            self._route(url.path, query, body)
        except RefusalError as refusal:
            status = {"message": refusal.message, "reason": refusal.reason, "code": refusal.code}
            self._send(refusal.code, {**_STATUS, "status": "Failure", **status})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_DELETE = _go  # noqa: N815 - http.server names them

    def _send(self, code: int, values: dict[str, Any]) -> None:
        data = json.dumps(values).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _route(self, path: str, query: dict[str, str], body: dict[str, Any]) -> None:
        if path in _DISCOVERY:
            return self._send(200, _DISCOVERY[path])
        match = _PATH.fullmatch(path)
        kind = (match["group"] or "", match["resource"]) if match else ("", "")
        if match is None or kind not in KINDS:
            raise RefusalError(404, "NotFound", "the server could not find the requested resource")
        watch = query.get("watch", "").lower() in ("1", "true")
        many = "watch" if watch else "list"
        verb = {"POST": "create", "DELETE": "delete"}.get(
            self.command, "get" if match["name"] else many
        )
        self._meet_fault(verb, kind)
        key = (kind, match["ns"] or "", match["name"] or "")
        if verb == "create":
            dry = query.get("dryRun") == "All"
            key = (kind, key[1], body["metadata"]["name"])
            return self._send(201, self.api.objects.create(key, body, dry=dry))
        if verb == "get":
            return self._send(200, self.api.objects.get(key))
        if verb == "delete":
            return self._delete(
                key, body.get("propagationPolicy") or query.get("propagationPolicy")
            )
        return self._watch(kind, query) if watch else self._list(kind, query)

    def _meet_fault(self, verb: str, kind: tuple[str, str]) -> None:
        api, resource = self.api, kind[1]
        api.seen.append((verb, resource))
        if (verb, resource) in api.denied and self.headers.get("Authorization") != "Bearer admin":
            raise RefusalError(
                403,
                "Forbidden",
                f'{resource}.{kind[0]} is forbidden: User "system:serviceaccount:epipar:inpaint" '
                f'cannot {verb} resource "{resource}" in API group "{kind[0]}"',
            )
        fault = api.faults.pop(0) if api.faults else None
        if fault == "drop":
            self.connection.shutdown(socket.SHUT_RDWR)
            raise BrokenPipeError
        if fault is not None:
            raise RefusalError(int(fault), "ServiceUnavailable", "the server is going down")

    def _delete(self, key: Key, policy: str | None) -> None:
        found = self.api.objects.get(key)
        if key[0] == PODS or policy != "Foreground":
            raise RefusalError(
                422, "Invalid", "the simulation deletes Jobs in the foreground alone"
            )
        if "deletionTimestamp" not in found["metadata"]:
            marks = {"deletionTimestamp": now(), "finalizers": ["foregroundDeletion"]}
            self.api.objects.change(key, lambda job: job["metadata"].update(marks))
        self._send(200, self.api.objects.get(key))

    def _list(self, kind: tuple[str, str], query: dict[str, str]) -> None:
        with self.api.objects.changed:
            found = [o for k, o in self.api.objects.of(kind) if _chosen(o, query)]
            version = str(self.api.objects.version)
        head = {"kind": KINDS[kind] + "List", "apiVersion": _version_of(kind)}
        self._send(200, {**head, "metadata": {"resourceVersion": version}, "items": found})

    def _watch(self, kind: tuple[str, str], query: dict[str, str]) -> None:
        objects, api = self.api.objects, self.api
        at = int(query["resourceVersion"])
        end_s = time.monotonic() + float(query.get("timeoutSeconds") or 300)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        generation = api.watch_generation
        while time.monotonic() < end_s and not api.closed:
            with objects.changed:
                if at < objects.oldest:
                    status = {**_STATUS, "status": "Failure", "code": 410, "reason": "Expired"}
                    message = f"too old resource version: {at} ({objects.oldest})"
                    self._chunk({"type": "ERROR", "object": {**status, "message": message}})
                    break
                if generation != api.watch_generation:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    self.close_connection = True
                    return
                news = [entry for entry in objects.log if entry[0] > at]
                if not news:
                    objects.changed.wait(0.2)
            for version, what, key, found in news:
                at = version
                if key[0] == kind and _chosen(found, query):
                    self._chunk({"type": what, "object": found})
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, values: dict[str, Any]) -> None:
        data = json.dumps(values).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()


def _chosen(found: dict[str, Any], query: dict[str, str]) -> bool:
    labels = found["metadata"].get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        name, _, value = term.partition("=")
        if labels.get(name) != value:
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        name, _, value = term.partition("=")
        if name != "metadata.name" or found["metadata"]["name"] != value:
            return False
    return True


def _version_of(kind: tuple[str, str]) -> str:
    return f"{kind[0]}/v1".strip("/")


def _resources(group: str) -> dict[str, Any]:
    verbs = ["create", "delete", "get", "list", "watch"]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{group}/v1".strip("/"),
        "resources": [
            {"name": r, "singularName": k.lower(), "namespaced": True, "kind": k, "verbs": verbs}
            for (g, r), k in KINDS.items()
            if g == group
        ],
    }


_STATUS = {"kind": "Status", "apiVersion": "v1", "metadata": {}}
_BATCH = {"groupVersion": "batch/v1", "version": "v1"}
_DISCOVERY: dict[str, dict[str, Any]] = {
    "/version": {"major": "1", "minor": "37", "gitVersion": "v1.37.0-simulated"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": "batch", "versions": [_BATCH], "preferredVersion": _BATCH}],
    },
    "/api/v1": _resources(""),
    "/apis/batch/v1": _resources("batch"),
}
