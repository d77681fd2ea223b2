"""What providers add to the texts of a request, by family of models."""

import pytest

from gateway.inference.estimate import family_of
from tests.gateway.inference.estimating import CLAUDE, FAMILIES, OPENAI, UNKNOWN, asked, counted, tool


@pytest.mark.parametrize(
    ("place", "tokens"),
    [
        (("openai-chat", "openai", "gpt-4o"), 14),
        (("openai-chat", "openrouter", "openai/gpt-4.1-mini"), 14),
        (("anthropic", "anthropic", "claude-sonnet-4-5-20250929"), 14),
        (("google", "google", "gemini-2.5-flash"), 8),
        (("openai-chat", "mistral", "mistral-large-latest"), 10),
        (("openai-chat", "cerebras", "llama-3.3-70b"), 43),
        (("openai-chat", "groq", "openai/gpt-oss-120b"), 78),
        (("openai-chat", "zai", "glm-4.7"), 13),
    ],
    ids=lambda value: "/".join(value) if isinstance(value, tuple) else "",
)
def test_small_talk_is_near_what_providers_counted(place: tuple[str, str, str], tokens: int) -> None:
    """As in recorded exchanges with one question of seven words."""
    estimate = counted(asked("What is the capital of Mexico?"), family_of(*place))
    assert tokens <= estimate <= 1.9 * tokens


def test_families_differ_in_what_tools_cost() -> None:
    body = asked("hi", tools=[tool(city={"type": "string"})])
    added = {family.tools: counted(body, family) - counted(asked("hi"), family) for family in FAMILIES}
    assert added[OPENAI.tools] < added[UNKNOWN.tools] < added[CLAUDE.tools]
    assert counted(asked("hi", tools=[tool(), tool()])) > counted(asked("hi", tools=[tool()])) + 33


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("claude-3-5-sonnet-20241022", "claude-sonnet-4-0"),
        ("anthropic/claude-opus-4.1", "claude-opus-4"),
        ("claude-opus-4-5-20251101", "claude-haiku-4-5"),
        ("claude-opus-4-8", "anthropic/claude-opus-5"),
        ("us.anthropic.claude-sonnet-5-v1:0", "claude-fable-5"),
    ],
)
def test_models_of_one_generation_are_one_family(name: str, like: str) -> None:
    assert family_of("anthropic", "p", name) == family_of("anthropic", "p", like)


def test_generations_of_claude_differ() -> None:
    names = ("claude-sonnet-4-0", "claude-sonnet-4-5", "claude-sonnet-5")
    assert len({family_of("anthropic", "p", name) for name in names}) == 3
