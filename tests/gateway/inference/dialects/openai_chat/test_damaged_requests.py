"""Requests with anything in any place: the client's error is named, and nothing else is raised."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.inference.dialects.codec import Quirks, Target
from gateway.inference.dialects.openai_chat.codec import OpenAIChatCodec
from kit.errors import InvalidRequest, Unsupported
from tests.gateway.inference.dialects.openai_chat.asking import body
from tests.gateway.inference.dialects.openai_chat.test_whole_requests import WHOLE

CODEC = OpenAIChatCodec()
TARGETS = [
    Target("acme", "m", "openai-chat/acme", quirks)
    for quirks in (
        Quirks(),
        Quirks(
            max_tokens_field="max_tokens",
            system_role="system",
            tool_choice_any="any",
            unsupported=frozenset({"seed", "custom_tools"}),
            tool_id_length=9,
            reasoning_field="content",
            replays_reasoning=True,
            structured_output="json_object",
            schema_subset="openai-strict",
            cache_control=True,
        ),
    )
]
THOUGHTFUL: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {
            "role": "assistant",
            "content": "b",
            "reasoning": "c",
            "reasoning_details": [{"type": "reasoning.text", "text": "c", "signature": "d", "index": 0}],
            "tool_calls": [{"id": "e", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "e", "content": [{"type": "text", "text": "g"}]},
    ]
}
VALUES = st.sampled_from(
    [None, True, 0, -1, 1.5, 1e300, "", "x", "text", [], [None], ["x"], {}, {"type": "text"}]
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, item in inner for place in _places(item, (*path, name)))]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_damage_is_named_or_harmless(data: st.DataObject) -> None:
    request = copy.deepcopy(body(**data.draw(st.sampled_from([*WHOLE, THOUGHTFUL]))))
    for _ in range(data.draw(st.integers(1, 2))):
        path = data.draw(st.sampled_from(_places(request)[1:]))
        target: Any = request
        for name in path[:-1]:
            target = target[name]
        target[path[-1]] = copy.deepcopy(data.draw(VALUES))
    try:
        decoded = CODEC.decode_request(request)
    except InvalidRequest as refused:
        assert refused.param and refused.message.startswith(refused.param)
        return
    for provider in TARGETS:
        try:
            CODEC.encode_request(decoded, provider)
        except Unsupported as refused:
            assert refused.param
