"""Cache breakpoints: of clients, and on their way to providers."""

from gateway.inference.dialects.codec import left_out
from gateway.inference.dialects.neutral import (
    Cache,
    Text,
    Tool,
)
from tests.gateway.inference.dialects.openai_chat.asking import (
    CODEC,
    body,
    function,
    target,
    user,
)


def test_cache_breakpoints_of_clients_become_neutral() -> None:
    control = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    request = CODEC.decode_request(
        body(
            messages=[
                {"role": "system", "content": [{"type": "text", "text": "s", **control}]},
                {"role": "user", "content": [{"type": "text", "text": "u", **control}]},
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "a", "content": "r", "cache_control": {"type": "ephemeral"}},
            ],
            tools=[{**function(), **control}, {"type": "function", "function": {"name": "g", **control}}],
        )
    )
    hour = Cache(ttl="1h")
    assert request.system[0].cache == hour
    content = request.messages[0].content[0]
    assert isinstance(content, Text) and content.cache == hour
    assert [tool.cache for tool in request.tools] == [hour, hour]
    assert request.messages[2].content[0].cache == Cache()  # type: ignore[union-attr]


def test_what_the_neutral_form_carries_is_not_missed_by_other_dialects() -> None:
    control = {"cache_control": {"type": "ephemeral"}}
    request = CODEC.decode_request(
        body(
            messages=[{"role": "user", "content": [{"type": "text", "text": "u", **control}]}],
            tools=[{**function(), **control}],
            thinking={"type": "enabled"},
            top_k=3,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    kept = [request.messages[0].content[0].extra, request.tools[0].extra, request.extra]  # type: ignore[union-attr]
    assert request.reasoning is not None
    for extra in [*kept, request.reasoning.extra]:
        assert left_out(extra, "anthropic") == ()


def test_openais_own_breakpoints_become_neutral_too() -> None:
    part = {"type": "text", "text": "u", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
    request = CODEC.decode_request(body(messages=[{"role": "user", "content": [part]}]))
    assert request.messages[0].content[0].cache == Cache(ttl="1h")  # type: ignore[union-attr]


def test_breakpoints_reach_providers_that_take_them_and_are_named_elsewhere() -> None:
    request = user(Text(text="u", cache=Cache(ttl="1h")), system=[Text(text="s", cache=Cache())])
    request.tools = [Tool(name="f", schema={}, cache=Cache())]
    told = CODEC.encode_request(request, target(cache_control=True))
    assert told.dropped == ()
    assert told.body["messages"] == [
        {
            "role": "developer",
            "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        },
        {
            "role": "user",
            "content": [{"type": "text", "text": "u", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        },
    ]
    assert told.body["tools"][0]["cache_control"] == {"type": "ephemeral"}
    left = CODEC.encode_request(request, target())
    assert left.dropped == (
        "system[0].cache_control",
        "messages[0].content[0].cache_control",
        "tools[0].cache_control",
    )
    assert left.body["messages"][1] == {"role": "user", "content": "u"}
