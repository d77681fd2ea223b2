"""The estimate of a request's input: what counts, what does not, what is set aside."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.inference.estimate import InputEstimate, estimate_input, family_of, input_token_guess
from tests.gateway.inference.estimate_samples import MADE_UP
from tests.gateway.inference.estimating import CLAUDE, FAMILIES, GEMINI, PROSE, asked, counted, tool

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("type", "role", "content", "text", "name", "parts", "tools", "function", "parameters"),
                    *("messages", "input", "source", "data", "url", "image_url", "inlineData", "properties"),
                    *("tool_calls", "arguments", "file", "file_data", "signature", "response", "odd"),
                ]
            ),
            inner | st.sampled_from(["image", "document", "input_audio", "video_url", "function", "data:,"]),
            max_size=4,
        )
    ),
    max_leaves=25,
)
FIELDS = st.sampled_from(
    ["messages", "contents", "input", "system", "tools", "response_format", "plugins", "thinking", "new"]
)
BODIES = st.dictionaries(FIELDS, JSON, max_size=5)


@given(BODIES, st.sampled_from(FAMILIES))
def test_any_json_object_has_a_finite_estimate(body: dict[str, Any], family: Any) -> None:
    estimate = estimate_input(body, family)
    assert estimate.counted >= 0 and estimate.set_aside >= 0
    assert estimate.bound(1_000) <= 1_000


@given(BODIES, JSON, st.sampled_from(FAMILIES))
def test_another_message_never_lowers_it(body: dict[str, Any], message: Any, family: Any) -> None:
    before = [*body["messages"]] if isinstance(body.get("messages"), list) else []
    fewer = estimate_input({**body, "messages": before}, family).bound(None)
    assert estimate_input({**body, "messages": [*before, message]}, family).bound(None) >= fewer


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=50))
def test_a_longer_text_never_lowers_it(text: str, more: str, other: str) -> None:
    def body(content: str) -> dict[str, Any]:
        return {"messages": [{"content": other}, {"content": content}, {"content": other}]}

    assert counted(body(text + more)) >= counted(body(text))


def test_nesting_may_be_as_deep_as_json_can_be() -> None:
    body: dict[str, Any] = asked("hi")
    inner: Any = "deep"
    for _ in range(20_000):
        inner = {"properties": [inner]}
    body["messages"].append(inner)
    body["tools"] = [{"name": "t", "input_schema": inner, "tools": [inner]}]
    body["response_format"] = inner
    body["new"] = {"arguments": inner}
    assert counted(body) > 20_000
    while isinstance(inner, dict):  # taken apart by hand: freeing it at once recurses
        inner = inner.pop("properties").pop()


def test_a_lone_surrogate_is_counted_like_a_character() -> None:
    assert counted(asked("\ud800" * 100)) >= counted(asked("")) + 100


@pytest.mark.parametrize("kind", MADE_UP)
def test_escapes_in_the_source_change_nothing(kind: str) -> None:
    written = asked(MADE_UP[kind])
    assert json.loads(json.dumps(written, ensure_ascii=True)) == written
    assert counted(json.loads(json.dumps(written, ensure_ascii=False))) == counted(written)


SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "OpenAI Chat": (asked(PROSE), "a text"),
    "OpenAI Chat, in parts": (asked([{"type": "text", "text": PROSE}]), "a part"),
    "a system message": ({"messages": [{"role": "system", "content": PROSE}]}, "a message"),
    "Anthropic's system prompt": ({"system": [{"type": "text", "text": PROSE}]}, "a prompt"),
    "OpenAI's instructions": ({"instructions": PROSE}, "instructions"),
    "Google": ({"contents": [{"parts": [{"text": PROSE}]}]}, "a part"),
    "Google's system prompt": ({"systemInstruction": {"parts": [{"text": PROSE}]}}, "a prompt"),
    "a completion's prompt": ({"prompt": PROSE}, "a prompt"),
    "an input to embed": ({"input": [PROSE]}, "an input"),
    "arguments as text": (asked([{"tool_calls": [{"function": {"arguments": PROSE}}]}]), "arguments"),
    "arguments as JSON": (asked([{"type": "tool_use", "input": {"a": [{"b": PROSE}]}}]), "arguments"),
    "names in arguments": (asked([{"type": "tool_use", "input": {PROSE: 1}}]), "a name"),
    "a result": (asked([{"type": "tool_result", "content": [{"type": "text", "text": PROSE}]}]), "a result"),
    "Google's result": ({"contents": [{"parts": [{"functionResponse": {"response": {"r": PROSE}}}]}]}, "r"),
    "a thought": (asked([{"type": "thinking", "thinking": PROSE, "signature": "x"}]), "a thought"),
    "a tool's description": (asked("", tools=[tool()]), "a description"),
    "Google's tools": ({"tools": [{"functionDeclarations": [{"name": "f", "description": PROSE}]}]}, "d"),
    "Anthropic's tools": ({"tools": [{"name": "f", "description": PROSE, "input_schema": {}}]}, "d"),
    "a property's description": (asked("", tools=[tool(a={"type": "string", "description": PROSE})]), "d"),
    "a property's name": (asked("", tools=[tool(**{PROSE: {"type": "string"}})]), "a name"),
    "a choice": (asked("", tools=[tool(a={"enum": [PROSE]})]), "a choice"),
    "a long type": (asked("", tools=[tool(a={"type": PROSE})]), "a type"),
    "tools in a message": ({"input": [{"type": "additional_tools", "tools": [tool()["function"]]}]}, "d"),
    "a tool of the provider's": (asked("", tools=[{"type": "file_search", "filters": {"v": PROSE}}]), "f"),
    "a text document": (
        asked([{"type": "document", "source": {"type": "text", "data": PROSE}}]),
        "a document",
    ),
    "a document in parts": (
        asked([{"type": "document", "source": {"type": "content", "content": [{"text": PROSE}]}}]),
        "a document",
    ),
    "what is said of a document": (
        asked([{"type": "document", "source": {"type": "text", "data": ""}, "context": PROSE}]),
        "a context",
    ),
    "a text file": (
        asked(
            [
                {
                    "type": "file",
                    "file": {
                        "file_data": "data:text/plain;base64," + base64.b64encode(PROSE.encode()).decode()
                    },
                }
            ]
        ),
        "a file",
    ),
    "Google's text file": (
        {
            "contents": [
                {
                    "parts": [
                        {
                            "inlineData": {
                                "mimeType": "text/csv",
                                "data": base64.b64encode(PROSE.encode()).decode(),
                            }
                        }
                    ]
                }
            ]
        },
        "a file",
    ),
    "a field that nobody knows": (asked("", new={"inner": [PROSE]}), "a field"),
    "a block that nobody knows": (asked([{"type": "new", "inner": {"deeper": PROSE}}]), "a block"),
}


@pytest.mark.parametrize(("body", "part"), SHAPES.values(), ids=SHAPES)
def test_text_counts_wherever_it_stands(body: dict[str, Any], part: str) -> None:
    written = json.dumps(body)
    encoded = base64.b64encode(PROSE.encode()).decode()
    empty = json.loads(written.replace(json.dumps(PROSE)[1:-1], "").replace(encoded, ""))
    assert counted(body) >= counted(empty) + 33 * 0.95, part


SILENT = {
    "settings": asked("hi", metadata={"note": PROSE}, stop=[PROSE], user=PROSE, temperature=0.5),
    "ids": {"messages": [{"role": "user", "content": "hi", "id": "m" * 200}]},
    "nothing": asked(
        "hi", plugins=None, mcp_servers=[], previous_response_id=None, thinking={"type": "disabled"}
    ),
}


@pytest.mark.parametrize("body", SILENT.values(), ids=SILENT)
def test_what_the_model_does_not_see_does_not_count(body: dict[str, Any]) -> None:
    assert estimate_input(body, CLAUDE) == estimate_input(asked("hi"), CLAUDE)


def test_tokens_given_as_numbers_are_a_token_each() -> None:
    embeddings = family_of("openai-chat", "openai", "text-embedding-3-small")
    plain, nested = {"input": list(range(500))}, {"input": [list(range(250)), list(range(250))]}
    assert 500 <= counted(plain, embeddings) <= 510
    assert 500 <= counted(nested, embeddings) <= 510


def test_numbers_in_arguments_are_text() -> None:
    call = {"type": "tool_use", "input": {"values": [1.2345678901234567] * 50}}
    assert counted(asked([call])) > 50 * 12


def test_a_schema_of_the_answer_is_shown_by_some_only() -> None:
    schema = {"type": "object", "properties": {"a": {"description": PROSE}}}
    wanted = {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}
    assert counted(asked("hi", **wanted)) > counted(asked("hi")) + 33
    config = {"generationConfig": {"temperature": 1, "responseSchema": schema}}
    assert counted({**config, "contents": []}, GEMINI) == counted({"contents": []}, GEMINI)


def test_the_context_window_bounds_it() -> None:
    estimate = InputEstimate(counted=900, set_aside=450_000)
    assert (estimate.bound(200_000), estimate.bound(None)) == (200_000, 450_900)


GUESSED = [
    (asked(PROSE, model="gpt-4o"), 40),
    (asked(PROSE, model="gpt-4o", tools=[tool()]), 90),
    ({"id": "x", "choices": [{"message": {"role": "assistant", "content": PROSE}}]}, 33),
]


@pytest.mark.parametrize(("body", "tokens"), GUESSED)
def test_a_guess_is_neither_high_nor_low(body: dict[str, Any], tokens: int) -> None:
    assert 0.75 * tokens <= input_token_guess(json.dumps(body).encode()) <= 1.35 * tokens


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_have_a_guess(raw: bytes) -> None:
    assert input_token_guess(raw) >= 0


def test_an_image_is_not_guessed_by_its_bytes() -> None:
    image = {"type": "image", "source": {"type": "base64", "data": "A" * 400_000}}
    assert 900 < input_token_guess(json.dumps(asked([image])).encode()) < 1_200
