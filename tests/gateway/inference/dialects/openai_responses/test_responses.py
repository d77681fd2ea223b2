"""Whole answers: from this dialect's providers, and for its clients whoever answered."""

import json
from typing import Any

import pytest
from openai.types.responses import Response as SdkResponse

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.carried import Carried, unwrap
from gateway.inference.dialects.neutral import (
    Audio,
    Block,
    Choice,
    Citation,
    Extra,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    Refusal,
    Response,
    ServerBlock,
    StopReason,
    Text,
    Thinking,
    ToolUse,
)
from tests.gateway.inference.dialects.openai_responses.exchange import (
    CODEC,
    NAME,
    answer,
    message,
    request,
    text,
    user,
)
from tests.gateway.inference.dialects.openai_responses.sdk import response_of

CALL = {
    "type": "function_call",
    "id": "fc_1",
    "status": "completed",
    "call_id": "c1",
    "name": "f",
    "arguments": '{"a":1}',
}
REASONING = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "One"}, {"type": "summary_text", "text": "Two"}],
    "encrypted_content": "gAAA",
}
SEARCH = {
    "type": "web_search_call",
    "id": "ws_1",
    "status": "completed",
    "action": {"type": "search", "query": "q"},
}
LOGPROB = {"token": "A", "logprob": -0.5, "bytes": [65], "top_logprobs": []}
URL = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 1}


ASKED = {"model": "m", "input": "Hi"}


def shown(*content: Block, stop: StopReason = "end_turn", **asked: Any) -> dict[str, Any]:
    """What a client sees of another provider's answer; the SDK has read it."""
    given = Response(
        id="msg_0",
        model="claude",
        choices=[Choice(content=list(content), stop=stop)],
        usage=TokenUsage(input_tokens=3, output_tokens=2, cache_read_tokens=4, reasoning_tokens=1),
        created_s=1700000000,
    )
    written = CODEC.encode_response(given, CODEC.decode_request(request(user(), **asked)))
    SdkResponse.model_validate(written)
    assert response_of(json.dumps(written).encode()).id == "resp_msg_0"
    return written


def read(body: dict[str, Any]) -> Choice:
    return CODEC.decode_response(body, NAME).choices[0]


WHOLE: list[dict[str, Any]] = [
    answer(message(text("Hi"))),
    answer(REASONING, message(text("A"), text("B", annotations=[URL]), {"type": "refusal", "refusal": "No"})),
    answer(message(text("A"), phase="commentary"), CALL, {**CALL, "id": "fc_2", "call_id": "c2"}),
    answer(message(text("A"), id="msg_2"), message(text("B"))),
    answer(message(text("A", logprobs=[LOGPROB]))),
    answer(message(text("A", logprobs=[LOGPROB]), text("B", logprobs=[LOGPROB, LOGPROB]))),
    answer(SEARCH, message(text("A")), {"type": "image_generation_call", "id": "ig", "result": "iVBO"}),
    answer(message(text("A"), {"type": "video", "url": "u"}, text("B"))),
    answer(message({"type": "video", "url": "u"})),
    answer(message()),
    answer({"type": "reasoning", "id": "rs", "summary": "odd"}, {"type": "function_call", "name": 5}),
    answer(
        {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "g", "status": "completed"},
        {
            "type": "custom_tool_call",
            "id": "ctc",
            "status": "completed",
            "call_id": "c",
            "name": "n",
            "input": "",
        },
    ),
    answer(
        {**CALL, "status": "incomplete"},
        status="incomplete",
        incomplete_details={"reason": "max_output_tokens"},
    ),
    answer(message(text("A")), status="incomplete", incomplete_details={"reason": "steered"}),
    answer(status="failed", error={"code": "server_error", "message": "Oh"}),
    answer(status="queued", usage=None, background=True),
    answer(message(text("A")), metadata={"a": "b"}, service_tier="flex", new_field=[1], created_at=17.0),
]


@pytest.mark.parametrize("body", WHOLE)
def test_an_answer_comes_out_as_it_went_in(body: dict[str, Any]) -> None:
    written = CODEC.encode_response(CODEC.decode_response(body, NAME), CODEC.decode_request(ASKED))
    assert {name: value for name, value in written.items() if name in body} == body
    empty = CODEC.encode_response(Response(id="r", model="m", choices=[]), CODEC.decode_request(ASKED))
    assert written.keys() == empty.keys() | body.keys()


def test_blocks_of_an_answer() -> None:
    choice = read(answer(REASONING, SEARCH, message(text("A", annotations=[URL])), CALL))
    thought, search, said, call = choice.content
    assert isinstance(thought, Thinking)
    assert (thought.text, thought.origin) == ("One\n\nTwo", NAME)
    assert search == ServerBlock(dialect=NAME, data=SEARCH)
    assert isinstance(said, Text)
    assert said.citations == [Citation(dialect=NAME, data=URL, url="u", title="t", start=0, end=1)]
    assert isinstance(call, ToolUse)
    assert (call.id, call.name, call.arguments, call.item_id) == ("c1", "f", '{"a":1}', "fc_1")
    assert choice.stop == "tool_use"


def test_usage_counts_nothing_twice() -> None:
    usage = CODEC.decode_response(answer(SEARCH), NAME).usage
    assert usage == TokenUsage(
        input_tokens=30,
        output_tokens=20,
        cache_read_tokens=60,
        cache_write_tokens=10,
        web_searches=1,
        reasoning_tokens=5,
    )


def test_writes_to_the_cache_for_long_are_counted_apart() -> None:
    details = {
        "cached_tokens": 0,
        "cache_write_tokens": 30,
        "cache_write_tokens_details": {"ttl_12h_tokens": 10, "ttl_30m_tokens": 20},
    }
    usage = {
        "input_tokens": 50,
        "input_tokens_details": details,
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 51,
    }
    given = CODEC.decode_response(answer(usage=usage), NAME)
    assert given.usage == TokenUsage(
        input_tokens=20, output_tokens=1, cache_write_tokens=20, cache_write_1h_tokens=10
    )
    assert CODEC.encode_response(given, CODEC.decode_request({"model": "m", "input": "x"}))["usage"] == usage


@pytest.mark.parametrize(
    ("usage", "tools", "searches"),
    [
        (None, None, None),
        ({"input_tokens": -1}, None, None),
        ({"input_tokens": "many"}, None, None),
        ({"input_tokens": 5, "input_tokens_details": None}, None, 1),
        ({"input_tokens": 5}, {"web_search": {"num_requests": 3}}, 3),
        ({"input_tokens": 5}, {"web_search": {"num_requests": -3}}, 1),
        ({"input_tokens": 5}, {"web_search": None}, 1),
    ],
)
def test_usage_is_believed_only_if_it_can_be(usage: Any, tools: Any, searches: int | None) -> None:
    opened = SEARCH | {"action": {"type": "open_page"}}
    found = CODEC.decode_response(answer(SEARCH, opened, usage=usage, tool_usage=tools), NAME).usage
    assert (found.web_searches if found else None) == searches


@pytest.mark.parametrize(
    ("body", "stop"),
    [
        (answer(message(text("A"))), "end_turn"),
        (answer(CALL), "tool_use"),
        (answer(message({"type": "refusal", "refusal": "No"})), "refusal"),
        (answer(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "max_tokens"),
        (answer(status="incomplete", incomplete_details={"reason": "content_filter"}), "refusal"),
        (answer(status="incomplete", incomplete_details=None), "max_tokens"),
        (answer(status="failed"), "error"),
        (answer(status="in_progress"), None),
    ],
)
def test_reasons_to_stop_are_understood(body: dict[str, Any], stop: StopReason | None) -> None:
    assert read(body).stop == stop


@pytest.mark.parametrize(
    ("stop", "status", "details"),
    [
        ("end_turn", "completed", None),
        ("tool_use", "completed", None),
        ("stop_sequence", "completed", None),
        ("max_tokens", "incomplete", {"reason": "max_output_tokens"}),
        ("context_window", "incomplete", {"reason": "max_output_tokens"}),
        ("pause_turn", "incomplete", {"reason": "max_output_tokens"}),
        ("refusal", "incomplete", {"reason": "content_filter"}),
        ("error", "failed", None),
    ],
)
def test_reasons_to_stop_are_told(stop: StopReason, status: str, details: Any) -> None:
    written = shown(Text(text="A"), stop=stop)
    assert (written["status"], written["incomplete_details"]) == (status, details)
    assert (written["error"] is not None) == (status == "failed")
    assert written["output"][0]["status"] == ("incomplete" if status == "incomplete" else "completed")


def test_a_refusal_in_words_is_complete() -> None:
    written = shown(Refusal(text="I will not."), stop="refusal")
    assert written["status"] == "completed"
    assert written["output"][0]["content"] == [{"type": "refusal", "refusal": "I will not."}]


def test_the_response_repeats_the_request() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
    written = shown(
        Text(text="A"),
        instructions="Be brief.",
        tools=[tool],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0.2,
        top_p=0.3,
        max_output_tokens=50,
        metadata={"a": "b"},
        reasoning={"effort": "low"},
        text={"format": {"type": "json_object"}, "verbosity": "low"},
        previous_response_id="resp_0",
        truncation="auto",
        user="u",
        store=False,
    )
    assert written["tools"] == [tool]
    assert written["text"] == {"format": {"type": "json_object"}, "verbosity": "low"}
    assert written["reasoning"] == {"effort": "low", "summary": None}
    for name, value in {
        "instructions": "Be brief.",
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "temperature": 0.2,
        "top_p": 0.3,
        "max_output_tokens": 50,
        "metadata": {"a": "b"},
        "previous_response_id": "resp_0",
        "truncation": "auto",
        "user": "u",
        "store": False,
        "model": "claude",
        "created_at": 1700000000,
    }.items():
        assert written[name] == value


def test_another_makers_answer() -> None:
    written = shown(
        Thinking(text="Hm.", origin="anthropic", signature="sig"),
        HiddenThinking(data="blob", origin="anthropic"),
        Text(text="Let me see."),
        ToolUse(id="toolu_1", name="f", arguments='{"a":1}'),
        ToolUse(id="toolu_2", name="f", arguments=""),
        stop="tool_use",
    )
    thought, hidden, said, call, empty = written["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert unwrap(thought["encrypted_content"]) == Carried("anthropic", "sig")
    assert hidden["summary"] == []
    assert unwrap(hidden["encrypted_content"]) == Carried("anthropic", "blob", "")
    assert said["content"] == [text("Let me see.")]
    assert (call["call_id"], call["name"], call["arguments"]) == ("toolu_1", "f", '{"a":1}')
    assert empty["arguments"] == "{}"
    ids = [item["id"] for item in written["output"]]
    assert [item_id.partition("_")[0] for item_id in ids] == ["rs", "rs", "msg", "fc", "fc"]
    assert len(set(ids)) == 5
    assert max(map(len, ids)) <= 64
    assert written["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 9,
    }


def test_texts_with_citations_of_others() -> None:
    cited = Text(
        text="Sun.",
        citations=[
            Citation(dialect="anthropic", data={}, url="https://w", title="W"),
            Citation(dialect="google", data={}, url="https://x", start=1, end=2),
            Citation(dialect="anthropic", data={}, title="A document"),
        ],
    )
    (item,) = shown(Text(text="So:"), cited)["output"]
    assert [part["text"] for part in item["content"]] == ["So:", "Sun."]
    places = [
        (entry["url"], entry["start_index"], entry["end_index"])
        for entry in item["content"][1]["annotations"]
    ]
    assert places == [("https://w", 0, 4), ("https://x", 1, 2)]


def test_images_and_sound_and_what_only_others_have() -> None:
    image, said = shown(
        Image(source=Inline(media_type="image/png", data="iVBO")),
        Image(source=Linked(url="https://a")),
        ServerBlock(dialect="anthropic", data={"type": "server_tool_use"}),
        Audio(data="UklG", format="wav", transcript="Hello"),
    )["output"]
    assert (image["type"], image["result"]) == ("image_generation_call", "iVBO")
    assert said["content"][0]["text"] == "Hello"


@pytest.mark.parametrize(
    ("arguments", "given"), [('{"input": "ls"}', "ls"), ("ls", "ls"), ('{"x": 1}', '{"x": 1}'), ("", "")]
)
def test_a_tool_that_takes_text_gets_text_from_a_model_that_writes_json(arguments: str, given: str) -> None:
    custom = {"type": "custom", "name": "sh"}
    (item,) = shown(ToolUse(id="t", name="sh", arguments=arguments), tools=[custom])["output"]
    assert (item["type"], item["input"]) == ("custom_tool_call", given)


def test_logprobs_are_the_first_texts() -> None:
    choice = Choice(content=[Text(text="A")], stop="end_turn", logprobs=[LOGPROB])
    given = Response(id="r", model="m", choices=[choice])
    written = CODEC.encode_response(given, CODEC.decode_request(request(user())))
    assert written["output"][0]["content"][0]["logprobs"] == [LOGPROB]
    assert read(written).logprobs == [LOGPROB]


def test_other_dialects_extras_are_not_shown() -> None:
    extra = Extra(dialect="anthropic", fields={"container": 1})
    given = Response(id="r", model="m", choices=[Choice(content=[Text(text="A", extra=extra)])], extra=extra)
    assert "container" not in json.dumps(CODEC.encode_response(given, CODEC.decode_request(request(user()))))


@pytest.mark.parametrize(
    "body",
    [{}, {"error": {"message": "x"}}, {"id": 1, "model": "m", "output": []}, {"id": "r", "output": []}],
)
def test_no_answer_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="response object"):
        CODEC.decode_response(body, NAME)


@pytest.mark.parametrize(
    "output",
    [
        [5, None, "x", {}, {"type": 5}],
        [{"type": "message"}, {"type": "message", "content": 5}, {"type": "message", "content": [5]}],
        [message({"type": "output_text", "text": 5}, {"type": "output_text", "text": "A", "logprobs": [5]})],
        [{"type": "function_call", "call_id": "c", "name": "n", "arguments": {}}],
        [message(text("A", annotations=[5, {"url": 5, "start_index": "x"}]))],
        [{"type": "web_search_call", "action": 5}],
    ],
)
def test_malformed_items_break_nothing(output: list[Any]) -> None:
    given = CODEC.decode_response(answer(*output), NAME)
    CODEC.encode_response(given, CODEC.decode_request(request(user())))
