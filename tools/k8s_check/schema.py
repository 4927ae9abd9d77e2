"""Every object fits its schema, strictly: an unknown field or kind is a fault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate

from tools.k8s_check.finding import Finding
from tools.k8s_check.rendered import Object, Rendered, name_of

RULES = {
    "schema": "an object has the fields and types of its schema and no others",
    "schema-unknown": "a kind has a schema here",
}

KUBERNETES = "1.37"
"""Version of the schemas."""

SCHEMAS = Path(__file__).parent / "schemas"


def check(world: Rendered) -> Iterator[Finding]:
    """Yield the faults of schemas; an unknown kind is one, not a warning."""
    for item in world.objects:
        yield from _faults(json.dumps(item))


@cache  # overlays share most of their objects, and each look reads megabytes of schemas
def _faults(text: str) -> tuple[Finding, ...]:
    item = json.loads(text)
    try:
        kubernetes_validate.validate(item, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return (_fault(item, error),)
    except kubernetes_validate.SchemaNotFoundError:
        return tuple(_custom(item))
    return ()


def _custom(item: Object) -> Iterator[Finding]:
    group, _, version = item["apiVersion"].partition("/")
    path = SCHEMAS / f"{group}_{version}_{item['kind'].lower()}.json"
    if not path.is_file():
        yield Finding("schema-unknown", name_of(item), f"{item['apiVersion']} has no schema here")
        return
    for error in _validator(path).iter_errors(item):
        yield _fault(item, error)


@cache
def _validator(path: Path) -> Any:
    return jsonschema.Draft202012Validator(strict(json.loads(path.read_text())["schema"]))


def strict(schema: Any) -> Any:
    """Return a schema of a custom resource that refuses unknown fields, as a server can be told to."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: strict(part) for key, part in schema.items()}
    keeps = found.get("x-kubernetes-preserve-unknown-fields", False)
    if found.get("type") == "object" and "properties" in found and not keeps:
        found.setdefault("additionalProperties", False)
    return found


def _fault(item: Object, error: Any) -> Finding:
    place = ".".join(map(str, error.path)) or "(object)"
    return Finding("schema", name_of(item), f"{place}: {error.message[:300]}")
