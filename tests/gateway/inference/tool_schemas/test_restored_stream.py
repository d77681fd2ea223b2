"""Arguments of calls on their way back through the stream of an answer."""

from typing import Any

import msgspec
import pytest

from gateway.inference.tool_schemas.fitting import fit
from gateway.inference.tool_schemas.restored_stream import RestoredStream
from tests.gateway.inference.tool_schemas.samples import DOT, LINE, of

OPTIONAL = of({"id": {"type": "string"}, "note": {"type": "string"}, "at": {"type": "integer"}}, "id")
STRICT = fit(OPTIONAL, "openai-strict").restoration
NAMED = fit(of({"filter[id]": {"type": "string"}}), "anthropic").restoration
WRAPPED = fit({"oneOf": [LINE, DOT]}, "openai-strict").restoration


def call(name: str, *pieces: str, index: int = 1) -> list[dict[str, Any]]:
    block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def shown(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    stream = RestoredStream({"strict": STRICT, "named": NAMED, "wrapped": WRAPPED})
    return [out for event in events for out in stream.feed(event)]


@pytest.mark.parametrize(
    ("name", "given", "declared"),
    [
        ("strict", '{"id":"a","note":null,"at":null}', {"id": "a"}),
        ("strict", '{"id":"a","note":"n","at":0}', {"id": "a", "note": "n", "at": 0}),
        ("strict", '{"id":null,"note":null}', {"id": None}),
        ("named", '{"filter_id":"7"}', {"filter[id]": "7"}),
        ("named", '{"filter[id]":"7"}', {"filter[id]": "7"}),
        ("wrapped", '{"arguments":{"kind":"line","to":3,"color":null}}', {"kind": "line", "to": 3}),
        ("wrapped", '{"arguments":{"kind":"dot","big":null}}', {"kind": "dot"}),
        ("wrapped", '{"kind":"dot"}', {"kind": "dot"}),
    ],
)
def test_arguments_come_as_declared_in_one_piece(name: str, given: str, declared: dict[str, Any]) -> None:
    start, delta, stop = shown(call(name, given[:5], given[5:9], given[9:]))
    assert start["content_block"]["name"] == name and stop["type"] == "content_block_stop"
    assert delta["delta"]["type"] == "input_json_delta" and delta["index"] == 1
    assert msgspec.json.decode(delta["delta"]["partial_json"]) == declared


def test_all_else_passes_as_it_comes() -> None:
    other = call("plain", '{"note":', "null}")
    assert shown(other) == other
    text = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi"}}]
    events: list[dict[str, Any]] = [*text, {"type": "ping"}, {"type": "message_stop"}]
    assert shown(events) == events
    broken = call("strict", '{"id": ')
    assert shown(broken) == broken
    nothing = call("strict")
    assert shown(nothing) == nothing


def test_calls_side_by_side_do_not_mix() -> None:
    one, other = call("strict", '{"id":"1","at":null}', index=1), call("named", '{"filter_id":"2"}', index=2)
    mixed = [one[0], other[0], other[1], one[1], one[2], other[2]]
    found = {
        event["index"]: msgspec.json.decode(event["delta"]["partial_json"])
        for event in shown(mixed)
        if event["type"] == "content_block_delta"
    }
    assert found == {1: {"id": "1"}, 2: {"filter[id]": "2"}}


def test_input_that_comes_with_the_start_is_restored_too() -> None:
    events = call("strict")
    events[0]["content_block"]["input"] = {"id": "a", "note": None}
    assert shown(events)[0]["content_block"]["input"] == {"id": "a"}
