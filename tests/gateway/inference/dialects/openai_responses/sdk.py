"""OpenAI's own client, answered by bytes."""

from typing import Any

import httpx2
import openai
from openai.types.responses import ParsedResponse, Response, ResponseStreamEvent
from pydantic import TypeAdapter


def client(body: bytes, content_type: str) -> openai.OpenAI:
    def answered(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body, headers={"content-type": content_type})

    transport = httpx2.Client(transport=httpx2.MockTransport(answered))
    return openai.OpenAI(api_key="k", base_url="http://gateway.test/v1", http_client=transport, max_retries=0)


def accumulated(raw: bytes, **fields: Any) -> ParsedResponse[Any]:
    """What ``responses.stream`` makes of a stream; every event is also one that the SDK knows."""
    with client(raw, "text/event-stream").responses.stream(model="m", input="Hi", **fields) as events:
        for event in events:
            assert type(event).__name__.endswith("Event")
        return events.get_final_response()


def events_of(raw: bytes) -> list[Any]:
    """The events of ``responses.create(stream=True)``."""
    return list(client(raw, "text/event-stream").responses.create(model="m", input="Hi", stream=True))


def response_of(body: bytes) -> Response:
    return client(body, "application/json").responses.create(model="m", input="Hi")


_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_DELTAS = {
    "response.output_text": "text",
    "response.refusal": "refusal",
    "response.function_call_arguments": "arguments",
    "response.custom_tool_call_input": "input",
    "response.reasoning_summary_text": "text",
    "response.reasoning_text": "text",
}


def check(frames: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The output that the events of a complete stream add up to, after a check that every one has the fields
    that the SDK's types demand, that deltas add up to what is said to be done, and that nothing is said of
    an item or a part that has not begun."""
    said: dict[Any, str] = {}
    items: dict[int, dict[str, Any]] = {}
    done: dict[int, dict[str, Any]] = {}
    parts: dict[Any, Any] = {}
    for frame in frames:
        _EVENT.validate_python(frame)
        kind: str = frame["type"]
        place: Any = frame.get("output_index")
        stem, _, change = kind.rpartition(".")
        address = (place, frame.get("content_index"), frame.get("summary_index"))
        if kind == "response.output_item.added":
            assert place == len(items)
            items[place] = frame["item"]
        elif kind == "response.output_item.done":
            assert (frame["item"]["id"], frame["item"]["type"]) == (items[place]["id"], items[place]["type"])
            done[place] = frame["item"]
        elif place is not None:
            assert frame["item_id"] == items[place]["id"]
            assert place not in done
        if stem in _DELTAS and change == "delta":
            said[stem, address] = said.get((stem, address), "") + frame["delta"]
        elif stem in _DELTAS:
            assert said.pop((stem, address), "") == frame[_DELTAS[stem]]
        elif stem in ("response.content_part", "response.reasoning_summary_part") and change == "added":
            parts[address] = None
        elif stem in ("response.content_part", "response.reasoning_summary_part"):
            assert address in parts
            parts[address] = frame["part"]
    assert not said
    assert items.keys() == done.keys()
    for place, item in done.items():
        listed = item.get("content") or item.get("summary") or []
        assert [part for address, part in parts.items() if address[0] == place] == listed
    assert frames[-1]["response"]["output"] == list(done.values())
    return list(done.values())
