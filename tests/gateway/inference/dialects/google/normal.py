"""When two JSON bodies say the same to Google (ProtoJSON: names in either case, absent means default)."""

from typing import Any

from gateway.inference.dialects.google.reading import camel

FREE = {"args", "response", "parametersJsonSchema", "responseJsonSchema"}
"""Fields whose inside is the caller's own JSON."""


def normal(value: Any) -> Any:
    if isinstance(value, list):
        return [normal(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {camel(name): item for name, item in value.items()}
    named = {name: item if name in FREE else normal(item) for name, item in found.items()}
    return {name: item for name, item in named.items() if item is not False and item not in (0, None)}


def normal_request(body: dict[str, Any]) -> Any:
    """Functions may stand in one entry of ``tools`` or in several."""
    found = normal(body)
    tools = found.pop("tools", [])
    found["functions"] = [tool for entry in tools for tool in entry.pop("functionDeclarations", [])]
    found["tools"] = [{name: data} for entry in tools for name, data in entry.items()]
    return found
