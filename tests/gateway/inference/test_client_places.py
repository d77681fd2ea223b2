"""A block that is left out or refused is named by the place where the client wrote it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.inference.dialects.registry import OPENAI_CHAT, OPENAI_RESPONSES, ClientDialect
from tests.gateway.inference.crossing.world import named

PICTURE: dict[str, Any] = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
CHAT_CALLS: list[dict[str, Any]] = [
    {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in "fg"
]
CHAT_BODY: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "A"},
        {"role": "developer", "content": [{"type": "text", "text": "B"}, {"type": "text", "text": "C"}]},
        {"role": "user", "content": [{"type": "text", "text": "D"}, PICTURE]},
        {"role": "assistant", "reasoning_content": "E", "content": "F", "tool_calls": CHAT_CALLS},
        {"role": "tool", "tool_call_id": "call_f", "content": "G"},
        {"role": "tool", "tool_call_id": "call_g", "content": [PICTURE, {"type": "text", "text": "H"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "I"}]},
        {"role": "assistant", "content": None, "refusal": "J"},
        {"role": "user", "content": "K"},
    ],
}
CHAT_PLACES = {
    "system[0]": "messages[0].content",
    "system[1]": "messages[1].content[0]",
    "system[2].cache": "messages[1].content[1].cache_control",
    "messages[0].name": "messages[2].name",
    "messages[0].content[0]": "messages[2].content[0]",
    "messages[0].content[1].detail": "messages[2].content[1].image_url.detail",
    "messages[0].content[1].source": "messages[2].content[1]",
    "messages[1]": "messages[3]",
    "messages[1].content[0]": "messages[3].reasoning_content",
    "messages[1].content[1]": "messages[3].content",
    "messages[1].content[3]": "messages[3].tool_calls[1]",
    "messages[2].content[0]": "messages[4]",
    "messages[2].content[1].content[0].source": "messages[5].content[0]",
    "messages[3].content[0]": "messages[6].content[0]",
    "messages[4].content[0]": "messages[7].refusal",
    "messages[5].content[0]": "messages[8].content",
}


def input_texts(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "input_text", "text": text} for text in texts]


def call_item(name: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"call_{name}", "name": name, "arguments": "{}"}


def output_item(name: str, output: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": f"call_{name}", "output": output}


IMAGE: dict[str, Any] = {"type": "input_image", "image_url": "https://example.org/y.png"}
THOUGHT: dict[str, Any] = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}
SAID = [{"type": "output_text", "text": "G"}, {"type": "output_text", "text": "H"}]
RESPONSES_BODY: dict[str, Any] = {
    "model": "m",
    "instructions": "A",
    "input": [
        {"role": "developer", "content": input_texts("B", "C")},
        {"role": "user", "content": [*input_texts("D"), IMAGE]},
        THOUGHT,
        {"role": "assistant", "content": "F"},
        {"role": "assistant", "content": SAID},
        call_item("f"),
        call_item("g"),
        output_item("f", "I"),
        output_item("g", input_texts("J")),
        {"role": "user", "content": "K"},
    ],
}
RESPONSES_PLACES = {
    "system[0]": "instructions",
    "system[1]": "input[0].content[0]",
    "system[2].cache": "input[0].content[1].prompt_cache_breakpoint",
    "messages[0]": "input[1]",
    "messages[0].content[1].source": "input[1].content[1]",
    "messages[0].content[1].title": "input[1].content[1].filename",
    "messages[1].content[0]": "input[2]",
    "messages[1].content[1]": "input[3].content",
    "messages[1].content[2]": "input[4].content[0]",
    "messages[1].content[3].citations[0]": "input[4].content[1].annotations[0]",
    "messages[1].content[5].signature": "input[6].signature",
    "messages[2].content[0].is_error": "input[7].is_error",
    "messages[2].content[1].content[0]": "input[8].output[0]",
    "messages[3].content[0]": "input[9].content",
}
PLACES = [
    *((OPENAI_CHAT, CHAT_BODY, name, place) for name, place in CHAT_PLACES.items()),
    *((OPENAI_RESPONSES, RESPONSES_BODY, name, place) for name, place in RESPONSES_PLACES.items()),
]


@pytest.mark.parametrize(("client", "body", "name", "place"), PLACES)
def test_a_block_is_where_the_client_wrote_it(
    client: ClientDialect, body: dict[str, Any], name: str, place: str
) -> None:
    assert client.codec is not None
    assert client.client_name(name, client.codec.decode_request(body)) == place


def assert_every_place_is_one_of_the_clients(client: ClientDialect, body: dict[str, Any]) -> None:
    """Every instruction and block has a place of its own, where the client wrote something."""
    assert client.codec is not None
    request = client.codec.decode_request(body)
    names = [f"system[{entry}]" for entry in range(len(request.system))]
    names += [
        f"messages[{entry}].content[{block}]"
        for entry, message in enumerate(request.messages)
        for block in range(len(message.content))
    ]
    places = [client.client_name(name, request) for name in names]
    assert len(set(places)) == len(places)
    assert all(named(body, place) is not None for place in places), places


DETAILS = [{"type": "reasoning.text", "text": "E"}, {"type": "reasoning.encrypted", "data": "E"}]
CHAT_MESSAGES: list[dict[str, Any]] = [
    *CHAT_BODY["messages"],
    {"role": "user", "content": [PICTURE]},
    {"role": "user", "content": [{"type": "text", "text": "L"}]},
    {"role": "user", "content": []},
    {"role": "assistant", "content": ""},
    {"role": "assistant", "reasoning_details": DETAILS, "content": "M", "tool_calls": CHAT_CALLS},
    {"role": "assistant", "audio": {"id": "audio_1"}, "content": None},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "N"}, {"type": "text", "text": "O"}]},
    {"role": "tool", "tool_call_id": "call_f", "content": []},
]
RESPONSES_ITEMS: list[dict[str, Any]] = [
    *RESPONSES_BODY["input"],
    {"role": "system", "content": "P"},
    {"role": "user", "content": []},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "Q"}]},
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    {"type": "computer_call_output", "call_id": "c", "output": {}},
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(CHAT_MESSAGES), min_size=1, max_size=9))
def test_every_block_of_any_messages_has_its_place(messages: list[dict[str, Any]]) -> None:
    assert_every_place_is_one_of_the_clients(OPENAI_CHAT, {"model": "m", "messages": messages})


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(RESPONSES_ITEMS), min_size=1, max_size=9), st.booleans())
def test_every_block_of_any_input_has_its_place(items: list[dict[str, Any]], instructed: bool) -> None:
    instructions = {"instructions": "A"} if instructed else {}
    assert_every_place_is_one_of_the_clients(OPENAI_RESPONSES, {"model": "m", "input": items, **instructions})


def test_a_bare_text_of_input_is_the_input() -> None:
    assert OPENAI_RESPONSES.codec is not None
    request = OPENAI_RESPONSES.codec.decode_request({"model": "m", "input": "Hi"})
    assert OPENAI_RESPONSES.client_name("messages[0].content[0]", request) == "input"
