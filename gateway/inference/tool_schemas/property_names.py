"""Names of a tool's parameters that a provider refuses, renamed; the mapping back is exact.

Anthropic checks the names at the root of ``input_schema`` only: "Property keys should match pattern
'^[a-zA-Z0-9_.-]{1,64}$'". Google wants a letter or underscore first, then letters, digits and underscores, at
most 64 in all (Vertex AI reference: FunctionDeclaration.parameters).
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

MAX_LENGTH = 64
ANTHROPIC_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
GOOGLE_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,63}")
_UNSAFE = re.compile(r"[^a-zA-Z0-9_]+")
_BY_NAME = ("dependentRequired", "dependentSchemas", "if", "then", "else", "not", "patternProperties")
"""Keywords that speak of the old names; they are left to the tool's own schema."""


def with_names(schema: dict[str, Any], allowed: re.Pattern[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The schema with names that are allowed, and the declared name of each renamed one."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or all(map(allowed.fullmatch, properties)):
        return schema, {}
    taken = {*filter(allowed.fullmatch, properties), *schema.get("required", ())}
    safe_names: dict[str, str] = {}
    for name in properties:
        if not allowed.fullmatch(name):
            safe_names[name] = safe = _safe(name, taken)
            taken.add(safe)
    result = {name: value for name, value in schema.items() if name not in _BY_NAME}
    result["properties"] = {
        safe_names.get(name, name): _titled(value, name) if name in safe_names else value
        for name, value in properties.items()
    }
    for listed in ("required", "propertyOrdering"):
        if isinstance(schema.get(listed), list):
            result[listed] = [safe_names.get(name, name) for name in schema[listed]]
    return result, {safe: name for name, safe in safe_names.items()}


def _titled(schema: Any, name: str) -> Any:
    """The model is told what the parameter is really called."""
    return {"title": name[:200], **schema} if isinstance(schema, Mapping) else schema


def _safe(name: str, taken: set[str]) -> str:
    readable = _UNSAFE.sub("_", name).strip("_") or "parameter"
    if not readable[0].isalpha():
        readable = f"_{readable}"
    candidate, digits = readable, 8
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    while len(candidate) > MAX_LENGTH or candidate in taken:
        candidate = f"{readable[: MAX_LENGTH - digits - 1]}_{digest[:digits]}"
        digits += 4
    return candidate
