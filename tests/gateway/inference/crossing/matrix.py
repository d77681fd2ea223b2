"""The table of cases that the tests run and the documentation shows."""

from collections.abc import Awaitable, Callable
from itertools import product

from tests.gateway.inference.crossing.case import Case
from tests.gateway.inference.crossing.clients import CLIENTS
from tests.gateway.inference.crossing.errors import errors
from tests.gateway.inference.crossing.providers import PROVIDERS
from tests.gateway.inference.crossing.subjects import (
    images,
    parallel_tools,
    structured_output,
    text,
    tools,
)
from tests.gateway.inference.crossing.thinking import thinking

SUBJECTS: dict[str, Callable[[Case], Awaitable[None]]] = {
    "text": text,
    "tools": tools,
    "parallel tools": parallel_tools,
    "images": images,
    "thinking": thinking,
    "structured output": structured_output,
    "errors": errors,
}
WAYS = {"whole": False, "stream": True}

CASES = list(product(CLIENTS, PROVIDERS, WAYS, SUBJECTS))
"""Client, provider, way, subject."""

DROPPED: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("anthropic", "openai-chat", "thinking"): ("thinking.budget_tokens",),
    ("anthropic", "openai-responses", "thinking"): ("thinking.budget_tokens",),
    ("openai-chat", "anthropic", "structured output"): ("response_format.json_schema.name",),
    ("openai-chat", "google", "structured output"): ("response_format.json_schema.name",),
    ("openai-responses", "anthropic", "structured output"): ("text.format.name",),
    ("openai-responses", "openai-chat", "thinking"): ("reasoning.summary",),
    ("openai-responses", "google", "structured output"): ("text.format.name",),
}
"""What Heddle leaves out and names in ``x-heddle-dropped``, by client, provider and subject."""
