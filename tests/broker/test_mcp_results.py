"""What a model is shown of an MCP result."""

import base64
import json
from typing import Any

import mcp_types
import pytest

from broker.mcp_results import to_result

PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n....").decode()


def result(*content: Any, structured: Any = None, is_error: bool = False) -> mcp_types.CallToolResult:
    return mcp_types.CallToolResult(content=list(content), structured_content=structured, is_error=is_error)


def text(value: str) -> mcp_types.TextContent:
    return mcp_types.TextContent(text=value)


def test_structured_content_is_the_output_and_text_is_for_the_model() -> None:
    made = to_result(result(text("4 degrees"), structured={"celsius": 4}), {})
    assert made.output == {"celsius": 4}
    assert made.content == [{"type": "text", "text": "4 degrees"}]


def test_structured_content_alone_is_told_as_json() -> None:
    made = to_result(result(structured={"celsius": 4}), {})
    assert made.content == [{"type": "text", "text": '{"celsius":4}'}]


@pytest.mark.parametrize("content", [[], [text("")], [text("  \n")]])
def test_nothing_is_said_in_words(content: list[Any]) -> None:
    assert to_result(result(*content), {}).content == [{"type": "text", "text": "(no output)"}]


def test_an_error_stays_an_error() -> None:
    made = to_result(result(text("no such city"), is_error=True), {"status": "tool_error"})
    assert made.is_error and made.output == "no such city"


@pytest.mark.parametrize(
    ("data", "declared", "media_type"),
    [
        (PIXEL, "image/png", "image/png"),
        (base64.b64encode(b"\xff\xd8\xff\xe0").decode(), "image/png", "image/jpeg"),
        (base64.b64encode(b"GIF89a..").decode(), "image/gif", "image/gif"),
        (base64.b64encode(b"RIFF....WEBPVP8").decode(), "application/octet-stream", "image/webp"),
    ],
)
def test_an_image_has_the_type_of_its_bytes(data: str, declared: str, media_type: str) -> None:
    [block] = to_result(result(mcp_types.ImageContent(data=data, mime_type=declared)), {}).content
    assert block["source"] == {"type": "base64", "media_type": media_type, "data": data}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("not base64!", "cannot be decoded"),
        (base64.b64encode(b"<svg/>").decode(), "cannot see"),
        (base64.b64encode(b"GIF89a" + b"0" * 4_000_000).decode(), "an image of 4000006 bytes, too large"),
        (base64.b64encode(b"GIF89a" + b"\x10\x27\x10\x00").decode(), "10000 x 16 pixels, too large"),
    ],
)
def test_an_image_that_models_refuse_is_described(data: str, told: str) -> None:
    [block] = to_result(result(mcp_types.ImageContent(data=data, mime_type="image/svg+xml")), {}).content
    assert block["type"] == "text" and told in block["text"]


def test_many_blocks_and_long_texts_stay_within_bounds() -> None:
    made = to_result(result(*(text("x" * 30_000) for _ in range(300))), {})
    assert sum(len(block["text"]) for block in made.content) < 130_000
    assert made.content[-1]["text"] == "[200 more blocks left out]"
    assert made.full is not None and made.record["cut"] is True
    whole = json.loads(made.full)["content"]
    assert [block["text"] for block in whole] == ["x" * 30_000] * 300 and made.record["bytes"] == len(
        made.full
    )


@pytest.mark.parametrize(
    "content",
    [
        text("x" * 200_000),
        mcp_types.ImageContent(data=base64.b64encode(b"<svg/>").decode(), mime_type="image/svg+xml"),
        mcp_types.AudioContent(data="AAAA", mime_type="audio/wav"),
    ],
)
def test_what_a_model_is_not_shown_is_kept_as_it_was_given(content: Any) -> None:
    made = to_result(result(text("before"), content, structured={"n": 1}), {})
    assert made.full is not None
    assert mcp_types.CallToolResult.model_validate_json(made.full).content[1] == content


def test_what_is_shown_whole_is_not_kept_twice() -> None:
    image = mcp_types.ImageContent(data=PIXEL, mime_type="image/png")
    made = to_result(result(text("4 degrees"), image, structured={"celsius": 4}), {})
    assert made.full is None and "cut" not in made.record


def test_an_oversize_structure_is_shortened_in_the_output_too() -> None:
    made = to_result(result(text("big"), structured={"rows": ["x" * 1000] * 2000}), {})
    assert isinstance(made.output, str) and len(made.output) < 101_000
    assert made.full is not None and len(json.loads(made.full)["structuredContent"]["rows"]) == 2000


def test_characters_that_a_database_refuses_are_replaced() -> None:
    made = to_result(result(text("a\0b"), structured={"k\0": ["\0"]}), {})
    assert "\0" not in f"{made.output}{made.content}"
