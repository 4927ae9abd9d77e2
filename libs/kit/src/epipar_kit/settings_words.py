"""A setting in words, for the table of --help and for faults: default, bounds, type, meaning."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import SecretStr
from pydantic.fields import FieldInfo


def default_in_words(field: FieldInfo) -> str:
    """Return the default in words; a factory says what it gives here and now."""
    if field.is_required():
        return "(required)"
    return shown(field.get_default(call_default_factory=True, validated_data={}))


def allowed_in_words(field: FieldInfo) -> str:
    """Return the bounds of a field in words, "" where it has none."""
    low = high = ""
    for rule in field.metadata:
        low = _bound(rule, "ge") or _bound(rule, "gt", "more than ") or low
        high = _bound(rule, "le") or _bound(rule, "lt", "less than ") or high
    if low and high:
        return f"{low} to {high}"
    if low or high:
        return f"{low} or more" if low else f"{high} or less"
    if getattr(field.annotation, "__origin__", None) is Literal and field.annotation is not None:
        return " or ".join(map(str, field.annotation.__args__))
    return ""


def type_in_words(field: FieldInfo) -> str:
    """Return what a field takes where it has no bounds."""
    annotation = field.annotation
    if annotation is bool:
        return "true or false"
    if annotation in {str, SecretStr}:
        return "text"
    return "path" if "Path" in str(annotation) else str(annotation)


def meaning_of(field: FieldInfo) -> str:
    """Return the field's description."""
    return field.description or ""


def shown(value: Any) -> str:
    """Return a value as a variable would say it; never a secret."""
    if value is None:
        return "(none)"
    if isinstance(value, SecretStr):
        return "(secret)" if value.get_secret_value() else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bound(rule: Any, name: str, word: str = "") -> str:
    value = getattr(rule, name, None)
    return "" if value is None else f"{word}{value}"
