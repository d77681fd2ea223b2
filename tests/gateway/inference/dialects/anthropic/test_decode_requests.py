"""Reading Messages requests, and writing them again without a loss."""

from typing import Any

import pytest

from gateway.inference.dialects.anthropic.reading import DIALECT
from gateway.inference.dialects.carried import Carried, wrap
from gateway.inference.dialects.neutral import (
    Cache,
    Citation,
    Document,
    HiddenThinking,
    Image,
    Inline,
    Linked,
    PlainText,
    Reasoning,
    ServerBlock,
    ServerTool,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
    Uploaded,
)
from tests.gateway.inference.dialects.anthropic.made import CODEC, body, target
from tests.gateway.inference.dialects.anthropic.test_lossless import CHEAP, PDF, SAME

HOUR = {"type": "ephemeral", "ttl": "1h"}
CHAR_LOCATION = {
    "type": "char_location",
    "cited_text": "sky",
    "document_index": 0,
    "document_title": "Colours",
    "start_char_index": 0,
    "end_char_index": 3,
}


def block(content: dict[str, Any], role: str = "user") -> Any:
    request = CODEC.decode_request(body(messages=[{"role": role, "content": [content]}]))
    return request.messages[0].content[0]


BLOCKS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "text", "text": "hi", "cache_control": HOUR}, Text(text="hi", cache=Cache(ttl="1h"))),
    (
        {"type": "text", "text": "blue", "citations": [CHAR_LOCATION]},
        Text(
            text="blue",
            citations=[
                Citation(dialect=DIALECT, data=CHAR_LOCATION, title="Colours", cited_text="sky"),
            ],
        ),
    ),
    (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
        Image(source=Inline(media_type="image/png", data="AA==")),
    ),
    (
        {"type": "image", "source": {"type": "url", "url": "https://e.test/a.png"}},
        Image(source=Linked(url="https://e.test/a.png")),
    ),
    (
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        Image(source=Uploaded(dialect=DIALECT, file_id="file_1")),
    ),
    (
        {"type": "document", "source": PDF, "title": "T", "context": "C", "citations": {"enabled": True}},
        Document(
            source=Inline(media_type="application/pdf", data="JVBE"), title="T", context="C", citations=True
        ),
    ),
    (
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        Document(source=PlainText(text="words")),
    ),
    (
        {
            "type": "document",
            "source": {"type": "url", "url": "https://e.test/a.pdf"},
            "cache_control": CHEAP,
        },
        Document(source=Linked(url="https://e.test/a.pdf"), cache=Cache()),
    ),
    (
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        Thinking(text="hm", origin="anthropic", signature="sig"),
    ),
    ({"type": "redacted_thinking", "data": "xx"}, HiddenThinking(data="xx", origin="anthropic")),
    (
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"q": "ä", "n": 1.5}},
        ToolUse(id="t1", name="look", arguments='{"q":"ä","n":1.5}'),
    ),
    (
        {
            "type": "tool_result",
            "tool_use_id": "t1",
            "is_error": True,
            "content": [{"type": "text", "text": "no"}],
        },
        ToolResult(tool_use_id="t1", content=[Text(text="no")], is_error=True),
    ),
    (
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}},
        ServerBlock(
            dialect=DIALECT,
            data={"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}},
        ),
    ),
    (
        {"type": "container_upload", "file_id": "f"},
        ServerBlock(dialect=DIALECT, data={"type": "container_upload", "file_id": "f"}),
    ),
]


@pytest.mark.parametrize(("sent", "read"), BLOCKS, ids=lambda value: str(getattr(value, "get", str)("type")))
def test_a_block_is_read(sent: dict[str, Any], read: Any) -> None:
    assert block(sent) == read


def test_the_older_name_of_structured_output_is_understood() -> None:
    schema = {"type": "object", "properties": {}}
    request = CODEC.decode_request(body(output_format={"type": "json_schema", "schema": schema}))
    assert request.output is not None
    assert request.output.schema == schema
    assert CODEC.encode_request(request, target()).body["output_config"]["format"]["schema"] == schema


def test_settings_are_read() -> None:
    request = CODEC.decode_request(SAME["every parameter"] | {"top_p": 1})
    assert (request.temperature, request.top_p, request.top_k) == (0.5, 1, 5)
    assert (request.stop, request.stream, request.user) == (["END"], True, "u1")
    assert request.service_tier == "standard_only"
    assert request.extra is not None
    assert request.extra.essential == ["container", "mcp_servers"]


def test_tools_are_read() -> None:
    request = CODEC.decode_request(SAME["tools"])
    look, find, search, bash, *_ = request.tools
    assert look == Tool(name="look", schema={"type": "object", "properties": {"q": {"type": "string"}}})
    assert isinstance(find, Tool)
    assert (find.strict, find.cache, find.description) == (True, Cache(), "Finds.")
    assert search == ServerTool(
        dialect=DIALECT,
        kind="web_search",
        data={"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        cache=Cache(),
    )
    assert isinstance(bash, ServerTool)
    assert bash.kind == "bash_20250124"
    assert request.tool_choice == ToolChoice(mode="tool", tool="look")
    assert request.parallel_tools is False


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("adaptive thinking", Reasoning(enabled=True, adaptive=True, show=True)),
        ("manual thinking", Reasoning(enabled=True, budget_tokens=2000)),
        ("no thinking", Reasoning(enabled=False)),
    ],
)
def test_thinking_is_read(name: str, read: Reasoning) -> None:
    assert CODEC.decode_request(SAME[name]).reasoning == read


def test_documents_made_of_blocks_are_text_for_others() -> None:
    first, second = CODEC.decode_request(SAME["documents made of blocks"]).messages[0].content
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert first.source == PlainText(text="one")
    assert second.source == PlainText(text="one\n\ntwo")
    assert second.title == "Found"


def test_another_makers_thoughts_are_unwrapped() -> None:
    signature = wrap(Carried("openai-chat/deepseek", ""))
    assert block({"type": "thinking", "thinking": "hm", "signature": signature}, "assistant") == Thinking(
        text="hm", origin="openai-chat/deepseek"
    )
    data = wrap(Carried("openai-responses", "enc", "rs_1"))
    assert block({"type": "redacted_thinking", "data": data}, "assistant") == HiddenThinking(
        data="enc", origin="openai-responses", item_id="rs_1"
    )


def test_googles_signatures_come_back_to_their_calls() -> None:
    uses: list[dict[str, Any]] = [
        {"type": "tool_use", "id": name, "name": "look", "input": {}} for name in ("t1", "t2")
    ]
    signed = {"type": "redacted_thinking", "data": wrap(Carried("google", "sig", "t2"))}
    content = [{"type": "text", "text": "I look."}, uses[0], signed, uses[1]]
    request = CODEC.decode_request(body(messages=[{"role": "assistant", "content": content}]))
    text, first, second = request.messages[0].content
    assert isinstance(text, Text)
    assert isinstance(first, ToolUse)
    assert isinstance(second, ToolUse)
    assert (first.signature, second.signature) == (None, "sig")
