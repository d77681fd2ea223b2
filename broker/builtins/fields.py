"""The JSON Schemas of inputs and configurations, written briefly."""

from typing import Any

from kit.errors import InvalidRequest

PASSWORD = "password"  # noqa: S105 - a JSON Schema format
Schema = dict[str, Any]


def fields(*required: str, **properties: Schema) -> Schema:
    """An object schema with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def text(description: str, *, most: int = 1_000, **more: Any) -> Schema:
    return {"type": "string", "description": description, "minLength": 1, "maxLength": most, **more}


def secret(description: str) -> Schema:
    """A credential: printable ASCII, so that a header can carry it."""
    return text(description, most=4_096, format=PASSWORD, pattern=r"^[\x21-\x7e]+$")


def count(description: str, most: int, default: int) -> Schema:
    return {"type": "integer", "description": description, "minimum": 1, "maximum": most, "default": default}


def texts(description: str, *, most: int = 50, each: int = 200) -> Schema:
    items = {"type": "string", "minLength": 1, "maxLength": each}
    return {"type": "array", "description": description, "items": items, "maxItems": most}


def flag(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def bad_config(name: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"config.{name}: {problem}", param=f"config.{name}")
