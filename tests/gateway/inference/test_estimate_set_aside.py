"""What is set aside for input whose size is not in the request, and media whose size is."""

import base64
from typing import Any

import pytest

from gateway.inference.estimate import estimate_input, family_of
from tests.gateway.inference.estimating import CLAUDE, GEMINI, UNKNOWN, asked

TOOLS_AT_PROVIDERS: list[tuple[str, dict[str, Any], int]] = [
    ("web search", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, 30_000),
    ("web fetch", {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, 30_000),
    ("search of OpenAI", {"tools": [{"type": "web_search_preview"}]}, 30_000),
    ("search by an option", {"web_search_options": {}}, 30_000),
    ("search by a plugin", {"plugins": [{"id": "web"}]}, 30_000),
    ("code execution", {"tools": [{"type": "code_interpreter", "container": {}}]}, 15_000),
    ("Google's search", {"tools": [{"googleSearch": {}}]}, 5_000),
    (
        "Google's search beside functions",
        {"tools": [{"functionDeclarations": [], "googleSearch": {}}]},
        5_000,
    ),
    ("Google's pages", {"tools": [{"urlContext": {}}]}, 30_000),
    ("another's tools", {"tools": [{"type": "mcp", "server_url": "https://x.test"}]}, 15_000),
    ("another's tools of Anthropic", {"mcp_servers": [{"url": "https://x.test"}]}, 15_000),
    ("a tool that is new", {"tools": [{"type": "telepathy_20300101", "name": "telepathy"}]}, 15_000),
    ("a conversation that is kept", {"previous_response_id": "resp_1"}, 50_000),
]


@pytest.mark.parametrize(
    ("more", "tokens"), [t[1:] for t in TOOLS_AT_PROVIDERS], ids=[t[0] for t in TOOLS_AT_PROVIDERS]
)
def test_something_is_set_aside_for_what_the_provider_adds(more: dict[str, Any], tokens: int) -> None:
    assert estimate_input(asked("hi"), UNKNOWN).set_aside == 0
    assert estimate_input(asked("hi", **more), UNKNOWN).set_aside >= tokens


@pytest.mark.parametrize(
    "kind", ["bash_20250124", "text_editor_20250728", "computer_20250124", "memory_20250818"]
)
def test_tools_that_the_caller_runs_set_nothing_aside(kind: str) -> None:
    estimate = estimate_input(asked("hi", tools=[{"type": kind, "name": "t"}]), CLAUDE)
    assert estimate.set_aside == 0 and estimate.counted > 1_000


def test_a_model_that_searches_unasked_has_something_set_aside() -> None:
    for name in ("compound-beta", "openai/gpt-4o:online"):
        assert estimate_input(asked("hi"), family_of("openai-chat", "openrouter", name)).set_aside > 30_000


LINK, PDF = (
    "https://x.test/it",
    base64.b64encode(b"%PDF-1.4 " + b"<< /Type /Page >> " * 3 + b"/Type /Pages").decode(),
)
BY_REFERENCE: dict[str, tuple[dict[str, Any], int]] = {
    "Anthropic's image": ({"type": "image", "source": {"type": "url", "url": LINK}}, 1_600),
    "Anthropic's uploaded image": ({"type": "image", "source": {"type": "file", "file_id": "f"}}, 1_600),
    "an image in Chat": ({"type": "image_url", "image_url": {"url": LINK}}, 1_600),
    "an image in Responses": ({"type": "input_image", "image_url": LINK}, 1_600),
    "an image that cannot be read": ({"type": "image", "source": {"type": "base64", "data": "AAAA"}}, 1_600),
    "a document": ({"type": "document", "source": {"type": "url", "url": LINK}}, 400_000),
    "a file": ({"type": "file", "file": {"file_id": "f"}}, 400_000),
    "a file in Responses": ({"type": "input_file", "file_url": LINK}, 400_000),
    "Mistral's document": ({"type": "document_url", "document_url": LINK}, 400_000),
    "an inline document": ({"type": "input_file", "filename": "a.pdf", "file_data": PDF}, 3 * 4_000),
    "a document as a URL": (
        {"type": "document_url", "document_url": "data:application/pdf;base64," + PDF},
        3 * 4_000,
    ),
    "a document that is called an image": (
        {"type": "image_url", "image_url": {"url": "data:application/pdf;base64," + PDF}},
        3 * 4_000,
    ),
    "Google's file": ({"fileData": {"mimeType": "application/pdf", "fileUri": LINK}}, 400_000),
    "a video": ({"fileData": {"fileUri": LINK}}, 1_000_000),
    "sound": ({"type": "input_audio", "input_audio": {"data": "A" * 40_000, "format": "mp3"}}, 400),
    "an earlier item": ({"type": "item_reference", "id": "msg_1"}, 10_000),
}


@pytest.mark.parametrize(("block", "tokens"), BY_REFERENCE.values(), ids=BY_REFERENCE)
def test_media_of_unknown_size_is_set_aside_at_its_largest(block: dict[str, Any], tokens: int) -> None:
    estimate = estimate_input(asked([block]), CLAUDE)
    assert tokens <= estimate.set_aside <= tokens * 1.3
    assert estimate.counted < 30


def test_an_image_is_counted_by_its_size_and_not_by_its_bytes() -> None:
    png = (
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
        + (750).to_bytes(4, "big")
        + (1_000).to_bytes(4, "big")
        + b"x" * 90_000
    )
    data = base64.b64encode(png).decode()
    blocks: list[dict[str, Any]] = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{data}"},
        {"inlineData": {"mimeType": "image/png", "data": data}},
    ]
    for block in blocks:
        estimate = estimate_input(asked([block]), CLAUDE)
        assert estimate.set_aside == 0 and 1_000 <= estimate.counted <= 1_030, block


def test_sound_in_wav_is_as_long_as_its_header_says() -> None:
    wav = (
        b"RIFF\x00\x00\x00\x00WAVEfmt "
        + b"\x00" * 12
        + (32_000).to_bytes(4, "little")
        + b"\x00" * (320_000 - 32)
    )
    part = {"inlineData": {"mimeType": "audio/wav", "data": base64.b64encode(wav).decode()}}
    assert estimate_input({"contents": [{"parts": [part]}]}, GEMINI).set_aside == pytest.approx(
        10 * 32, rel=0.02
    )
