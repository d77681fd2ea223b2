"""A stream of Anthropic's with a bit of everything, and the events that it means."""

import json
from typing import Any

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.anthropic.reading import DIALECT
from gateway.inference.dialects.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    ChoiceFinished,
    CitationDelta,
    Event,
    Finished,
    SignatureDelta,
    Started,
    TextDelta,
)
from gateway.inference.dialects.neutral import (
    Citation,
    Extra,
    HiddenThinking,
    ServerBlock,
    Text,
    Thinking,
    ToolUse,
)

CITED = {
    "type": "char_location",
    "cited_text": "sky",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 3,
}
START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-opus-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_read_input_tokens": 4,
            "cache_creation_input_tokens": 5,
            "output_tokens": 1,
            "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
            "service_tier": "standard",
        },
    },
}


def begin(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def ended(reason: str = "end_turn", **usage: int) -> list[dict[str, Any]]:
    told = {"stop_reason": reason, "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": told, "usage": {"output_tokens": 9, **usage}},
        {"type": "message_stop"},
    ]


def stream_of(*events: dict[str, Any]) -> bytes:
    return b"".join(
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
        for event in events
    )


EVERYTHING = stream_of(
    START,
    {"type": "ping"},
    begin(0, {"type": "thinking", "thinking": "", "signature": ""}),
    delta(0, "thinking_delta", thinking="hm… "),
    delta(0, "thinking_delta", thinking="日本"),
    delta(0, "signature_delta", signature="sig"),
    stop(0),
    begin(1, {"type": "redacted_thinking", "data": "xx"}),
    stop(1),
    begin(2, {"type": "text", "text": "", "citations": []}),
    delta(2, "text_delta", text="blue 🌌"),
    delta(2, "citations_delta", citation=CITED),
    delta(2, "delta_of_tomorrow", x=1),
    stop(2),
    begin(3, {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}),
    delta(3, "input_json_delta", partial_json='{"query": '),
    delta(3, "input_json_delta", partial_json='"sky"}'),
    stop(3),
    begin(4, {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}),
    stop(4),
    begin(5, {"type": "tool_use", "id": "t1", "name": "look", "input": {}, "caller": {"type": "direct"}}),
    delta(5, "input_json_delta", partial_json=""),
    delta(5, "input_json_delta", partial_json='{"q":'),
    delta(5, "input_json_delta", partial_json=' "ä"}'),
    stop(5),
    begin(6, {"type": "tool_use", "id": "t2", "name": "look", "input": {}}),
    delta(6, "input_json_delta", partial_json=""),
    stop(6),
    *ended("tool_use"),
)
EVENTS: list[Event] = [
    Started(
        id="msg_1",
        model="claude-opus-5",
        usage=TokenUsage(
            input_tokens=3,
            output_tokens=1,
            cache_read_tokens=4,
            cache_write_tokens=2,
            cache_write_1h_tokens=3,
        ),
        extra=Extra(dialect=DIALECT, fields={"usage": {"service_tier": "standard"}}),
    ),
    BlockStarted(index=0, block=Thinking(text="", origin="anthropic")),
    TextDelta(index=0, text="hm… "),
    TextDelta(index=0, text="日本"),
    SignatureDelta(index=0, signature="sig"),
    BlockStopped(index=0),
    BlockStarted(index=1, block=HiddenThinking(data="xx", origin="anthropic")),
    BlockStopped(index=1),
    BlockStarted(index=2, block=Text(text="", citations=[])),
    TextDelta(index=2, text="blue 🌌"),
    CitationDelta(index=2, citation=Citation(dialect=DIALECT, data=CITED, cited_text="sky")),
    BlockStopped(index=2),
    BlockStarted(
        index=3,
        block=ServerBlock(
            dialect=DIALECT,
            data={"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "sky"}},
        ),
    ),
    BlockStopped(index=3),
    BlockStarted(
        index=4,
        block=ServerBlock(
            dialect=DIALECT, data={"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
        ),
    ),
    BlockStopped(index=4),
    BlockStarted(
        index=5,
        block=ToolUse(
            id="t1",
            name="look",
            arguments="",
            extra=Extra(dialect=DIALECT, fields={"caller": {"type": "direct"}}),
        ),
    ),
    ArgumentsDelta(index=5, text='{"q":'),
    ArgumentsDelta(index=5, text=' "ä"}'),
    BlockStopped(index=5),
    BlockStarted(index=6, block=ToolUse(id="t2", name="look", arguments="")),
    BlockStopped(index=6),
    ChoiceFinished(stop="tool_use"),
    Finished(
        usage=TokenUsage(
            input_tokens=3,
            output_tokens=9,
            cache_read_tokens=4,
            cache_write_tokens=2,
            cache_write_1h_tokens=3,
        )
    ),
]
