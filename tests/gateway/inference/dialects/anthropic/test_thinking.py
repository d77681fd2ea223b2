"""How much a model shall think, in the words that the model at hand understands."""

from typing import Any

import pytest

from gateway.inference.dialects.anthropic.models import traits_of
from gateway.inference.dialects.neutral import (
    Reasoning,
    Thinking,
    Tool,
    ToolChoice,
)
from tests.gateway.inference.dialects.anthropic.made import (
    asking,
    assistant,
    call,
    dropped,
    result,
    sent,
    user,
)

OPUS_5, SONNET_5, FABLE = "claude-opus-5", "claude-sonnet-5", "claude-fable-5"
OPUS_4_6, OPUS_4_5 = "claude-opus-4-6", "claude-opus-4-5-20251101"
SONNET_4_5, HAIKU_3_5 = "claude-sonnet-4-5", "claude-3-5-haiku-20241022"
OTHER = "glm-5"
ADAPTIVE, OFF = {"type": "adaptive"}, {"type": "disabled"}


def budget(tokens: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": tokens}


WANTED: list[tuple[str, Reasoning, dict[str, Any] | None, str | None]] = [
    (OPUS_5, Reasoning(effort="minimal"), ADAPTIVE, "low"),
    (OPUS_5, Reasoning(effort="high"), ADAPTIVE, "high"),
    (OPUS_5, Reasoning(effort="xhigh"), ADAPTIVE, "xhigh"),
    (OPUS_5, Reasoning(effort="none"), OFF, None),
    (OPUS_5, Reasoning(enabled=False), OFF, None),
    (OPUS_5, Reasoning(enabled=True), ADAPTIVE, None),
    (OPUS_5, Reasoning(enabled=True, budget_tokens=8000), ADAPTIVE, "medium"),
    (OPUS_5, Reasoning(enabled=True, show=True), {**ADAPTIVE, "display": "summarized"}, None),
    (SONNET_5, Reasoning(enabled=True, show=False), {**ADAPTIVE, "display": "omitted"}, None),
    (FABLE, Reasoning(effort="none"), None, "low"),
    (OPUS_4_6, Reasoning(effort="xhigh"), ADAPTIVE, "max"),
    (OPUS_4_6, Reasoning(enabled=True, budget_tokens=2000), budget(2000), None),
    (OPUS_4_5, Reasoning(effort="max"), budget(65536), "high"),
    (SONNET_4_5, Reasoning(effort="low"), budget(2048), None),
    (SONNET_4_5, Reasoning(enabled=True, adaptive=True), budget(8192), None),
    (SONNET_4_5, Reasoning(enabled=True, budget_tokens=512), budget(1024), None),
    (HAIKU_3_5, Reasoning(effort="low"), None, None),
    (OTHER, Reasoning(effort="low"), budget(2048), "low"),
    (OTHER, Reasoning(enabled=True, adaptive=True, effort="turbo"), budget(8192), "turbo"),
]


@pytest.mark.parametrize(("model", "reasoning", "thinking", "effort"), WANTED)
def test_reasoning(
    model: str, reasoning: Reasoning, thinking: dict[str, Any] | None, effort: str | None
) -> None:
    body = sent(asking(reasoning=reasoning, max_tokens=100_000), model)
    assert body.get("thinking") == thinking
    assert body.get("output_config") == ({"effort": effort} if effort else None)


def test_a_budget_leaves_room_for_the_answer() -> None:
    request = asking(reasoning=Reasoning(effort="high"), max_tokens=4096)
    assert sent(request, SONNET_4_5)["thinking"] == budget(4095)
    assert dropped(request, SONNET_4_5) == ("reasoning.budget_tokens",)
    small = asking(reasoning=Reasoning(effort="high"), max_tokens=1000)
    assert "thinking" not in sent(small, SONNET_4_5)
    assert "reasoning" in dropped(small, SONNET_4_5)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (OPUS_5, ("reasoning.budget_tokens",)),
        (HAIKU_3_5, ("reasoning",)),
        (SONNET_4_5, ()),
    ],
)
def test_what_the_model_does_not_take_is_named(model: str, names: tuple[str, ...]) -> None:
    request = asking(reasoning=Reasoning(enabled=True, budget_tokens=2000))
    assert dropped(request, model) == names


def test_thinking_sets_the_temperature() -> None:
    request = asking(reasoning=Reasoning(enabled=True, budget_tokens=2000), temperature=0.2, top_k=5)
    assert sent(request, SONNET_4_5).keys().isdisjoint({"temperature", "top_k"})
    assert dropped(request, SONNET_4_5) == ("temperature", "top_k")


def _tool_turn(*before: Thinking) -> Any:
    return asking(
        user("a"),
        assistant(*before, call("t1")),
        user(result("t1")),
        assistant(call("t2")),
        user(result("t2")),
        reasoning=Reasoning(enabled=True, budget_tokens=2000),
    )


def test_a_tool_turn_begun_without_a_thought_goes_on_without() -> None:
    request = _tool_turn(Thinking(text="hm", origin="openai-chat/deepseek", signature="x"))
    assert sent(request, SONNET_4_5)["thinking"] == OFF
    assert "reasoning" in dropped(request, SONNET_4_5)
    assert sent(request, OPUS_5)["thinking"] == ADAPTIVE


def test_a_tool_turn_begun_with_a_thought_goes_on_thinking() -> None:
    request = _tool_turn(Thinking(text="hm", origin="anthropic", signature="sig"))
    assert sent(request, SONNET_4_5)["thinking"] == budget(2000)


def test_tool_turns_that_are_over_do_not_matter() -> None:
    request = _tool_turn()
    request.messages += [assistant("done"), user("thanks")]
    assert sent(request, SONNET_4_5)["thinking"] == budget(2000)


def test_a_forced_tool_stops_manual_thinking_only() -> None:
    request = asking(
        tools=[Tool(name="look")],
        tool_choice=ToolChoice(mode="any"),
        reasoning=Reasoning(effort="low"),
    )
    assert sent(request, SONNET_4_5)["thinking"] == OFF
    assert dropped(request, SONNET_4_5) == ("reasoning",)
    assert sent(request, OPUS_5)["thinking"] == ADAPTIVE


@pytest.mark.parametrize(
    "name",
    ["claude-opus-4-8", "anthropic.claude-opus-4-8-v1:0", "claude-opus-4.8", "anthropic/claude-opus-4-8"],
)
def test_a_model_is_known_by_any_of_its_names(name: str) -> None:
    assert traits_of(name) == traits_of("claude-opus-4-8")
    assert traits_of(name).system_messages


def test_a_date_is_no_version() -> None:
    assert traits_of("claude-sonnet-4-20250514").temperature_with_top_p
    assert traits_of("claude-3-7-sonnet-20250219").manual_thinking
    assert not traits_of("claude-3-5-sonnet-20241022").manual_thinking
