"""Requests to estimate, and families of models to estimate them for."""

from typing import Any

from gateway.inference.estimate import estimate_input, family_of
from gateway.inference.estimate.families import Family
from tests.gateway.inference.estimate_samples import NATURAL

OPENAI = family_of("openai-chat", "openai", "gpt-4o")
CLAUDE = family_of("anthropic", "anthropic", "claude-sonnet-4-6")
GEMINI = family_of("google", "google", "gemini-2.5-flash")
UNKNOWN = family_of("openai-chat", "somebody", "something")
FAMILIES = [OPENAI, CLAUDE, GEMINI, UNKNOWN]
PROSE = NATURAL["English"]


def counted(body: dict[str, Any], family: Family = OPENAI) -> int:
    return estimate_input(body, family).counted


def asked(content: Any, **more: Any) -> dict[str, Any]:
    """A request with one message of the user."""
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def tool(name: str = "get_weather", /, **properties: Any) -> dict[str, Any]:
    """A function with a sentence for its description."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": PROSE, "parameters": schema}}
