"""Whole answers."""

from typing import Any

import pytest

from gateway.billing.prices import TokenUsage
from gateway.inference.dialects.google.usage import read_usage
from gateway.inference.dialects.neutral import (
    Audio,
    Choice,
    Document,
    HiddenThinking,
    Image,
    Request,
    Response,
    ServerBlock,
    StopReason,
    Text,
    Thinking,
    ToolUse,
)
from tests.gateway.inference.dialects.google.builders import CODEC, answer, decoded
from tests.gateway.inference.dialects.google.normal import normal

GROUNDED = answer(
    {"text": "Ünder the bridge. It rains in Rome."},
    groundingMetadata={
        "webSearchQueries": ["rome weather", "rome rain", "rome rain"],
        "searchEntryPoint": {"renderedContent": "<b>"},
        "groundingChunks": [
            {"web": {"uri": "https://a.example", "title": "a"}},
            {"retrievedContext": {"text": "It rains.", "fileSearchStore": "stores/1"}},
        ],
        "groundingSupports": [
            {
                "segment": {"startIndex": 19, "endIndex": 36, "text": "It rains in Rome."},
                "groundingChunkIndices": [0, 1],
            },
            {"segment": {"endIndex": 18, "text": "Ünder the bridge."}, "groundingChunkIndices": [0, 9]},
            {"segment": {"text": "elsewhere"}, "groundingChunkIndices": [0]},
            {"segment": {"text": "unsourced"}, "groundingChunkIndices": []},
        ],
    },
    urlContextMetadata={"urlMetadata": [{"retrievedUrl": "https://a.example"}]},
)
BLOCKED = {
    "promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": [{"category": "A"}]},
    "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
    "modelVersion": "gemini-3-pro",
    "responseId": "r",
}
EVERYTHING = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "Hm", "thought": True},
                    {"text": "Yes", "thoughtSignature": "dGV4dA=="},
                    {"functionCall": {"name": "f", "args": {"a": 1.5}}, "thoughtSignature": "Y2FsbA=="},
                    {"functionCall": {"id": "i", "name": "f", "args": {}}},
                    {"inlineData": {"mimeType": "image/png", "data": "aWs="}, "thoughtSignature": "aW1n"},
                    {"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": "aWs="}},
                    {"inlineData": {"mimeType": "image/png", "data": "aWs="}, "thought": True},
                    {"executableCode": {"language": "PYTHON", "code": "1"}, "thoughtSignature": "Y29kZQ=="},
                    {"partOfTomorrow": {"x": [1]}},
                    {"text": "", "thoughtSignature": "ZW5k"},
                ],
            },
            "finishReason": "STOP",
            "finishMessage": "Model generated function call(s).",
            "index": 0,
            "safetyRatings": [{"category": "A", "probability": "LOW"}],
            "avgLogprobs": -0.1,
            "tokenCount": 5,
        },
        {"content": {}, "finishReason": "SAFETY", "index": 1},
        {"finishReason": "MALFORMED_FUNCTION_CALL", "index": 2},
    ],
    "promptFeedback": {"safetyRatings": []},
    "usageMetadata": {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 30,
        "toolUsePromptTokenCount": 7,
        "totalTokenCount": 157,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 100}],
        "trafficType": "ON_DEMAND",
    },
    "modelVersion": "gemini-3-pro",
    "responseId": "r",
    "modelStatus": {"modelStage": "STABLE"},
}


@pytest.mark.parametrize("body", [EVERYTHING, GROUNDED, BLOCKED])
def test_everything_survives(body: dict[str, Any]) -> None:
    again = CODEC.encode_response(decoded(body), Request(model="m", messages=[]))
    assert normal(again) == normal(body)


def test_what_others_understand_of_an_answer() -> None:
    response = decoded(EVERYTHING)
    assert (response.id, response.model) == ("r", "gemini-3-pro")
    first, blocked, malformed = response.choices
    assert [type(block) for block in first.content] == [
        Thinking, HiddenThinking, Text, ToolUse, ToolUse, Image, Audio, ServerBlock, HiddenThinking,
        ServerBlock, HiddenThinking,
    ]  # fmt: skip
    one, two = [block for block in first.content if isinstance(block, ToolUse)]
    assert (one.arguments, one.signature, two.arguments, two.id) == ('{"a":1.5}', "Y2FsbA==", "{}", "i")
    assert one.id.startswith("call_")
    assert first.stop == "tool_use"
    assert (blocked.content, blocked.stop) == ([], "refusal")
    assert (malformed.content, malformed.stop) == ([], "error")


def test_usage_counts_nothing_twice() -> None:
    assert decoded(EVERYTHING).usage == TokenUsage(
        input_tokens=47, output_tokens=50, cache_read_tokens=60, reasoning_tokens=30
    )
    assert read_usage({"promptTokenCount": -1}) is None
    assert read_usage({"promptTokenCount": "many"}) is None
    assert read_usage([]) is None
    assert read_usage({}) == TokenUsage()


def test_searches_are_counted_as_google_bills_them() -> None:
    third, second = decoded(GROUNDED).usage, decoded(GROUNDED | {"modelVersion": "gemini-2.5-pro"}).usage
    assert third is not None
    assert second is not None
    assert (third.web_searches, second.web_searches) == (2, 1)


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("STOP", "end_turn"),
        ("MAX_TOKENS", "max_tokens"),
        ("SAFETY", "refusal"),
        ("RECITATION", "refusal"),
        ("LANGUAGE", "refusal"),
        ("BLOCKLIST", "refusal"),
        ("PROHIBITED_CONTENT", "refusal"),
        ("SPII", "refusal"),
        ("IMAGE_SAFETY", "refusal"),
        ("IMAGE_PROHIBITED_CONTENT", "refusal"),
        ("IMAGE_RECITATION", "refusal"),
        ("IMAGE_OTHER", "error"),
        ("NO_IMAGE", "error"),
        ("OTHER", "error"),
        ("MALFORMED_FUNCTION_CALL", "error"),
        ("UNEXPECTED_TOOL_CALL", "error"),
        ("TOO_MANY_TOOL_CALLS", "error"),
        ("MISSING_THOUGHT_SIGNATURE", "error"),
        ("FINISH_REASON_UNSPECIFIED", "error"),
        ("A_REASON_OF_TOMORROW", "error"),
    ],
)
def test_reasons_to_stop(reason: str, stop: StopReason) -> None:
    body = answer({"text": "a"}, finishReason=reason)
    response = decoded(body)
    assert response.choices[0].stop == stop
    assert normal(CODEC.encode_response(response, Request(model="m", messages=[]))) == normal(body)


def test_calls_cut_off_are_cut_off() -> None:
    part = {"functionCall": {"name": "f", "args": {}}}
    assert decoded(answer(part, finishReason="MAX_TOKENS")).choices[0].stop == "max_tokens"
    assert decoded(answer(part)).choices[0].stop == "tool_use"


def test_a_blocked_prompt_is_a_refusal() -> None:
    assert decoded(BLOCKED).choices == [Choice(content=[], stop="refusal")]
    empty = {"usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1}}
    assert decoded(empty).choices == [Choice(content=[], stop="error")]


@pytest.mark.parametrize("body", [{}, {"error": {"code": 400}}, {"candidates": "no"}])
def test_what_is_no_answer(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="GenerateContentResponse"):
        decoded(body)


def test_sources_are_cited_in_characters() -> None:
    (text,) = decoded(GROUNDED).choices[0].content
    assert isinstance(text, Text)
    assert text.citations is not None
    assert [
        (found.url, found.title, found.cited_text, found.start, found.end) for found in text.citations
    ] == [
        ("https://a.example", "a", None, 18, 35),
        (None, "stores/1", "It rains.", 18, 35),
        ("https://a.example", "a", None, 0, 17),
        ("https://a.example", "a", None, None, None),
    ]


def test_recited_sources_are_cited() -> None:
    body = answer(
        {"text": "Über alles"},
        citationMetadata={"citationSources": [{"startIndex": 0, "endIndex": 5, "uri": "https://b.example"}]},
    )
    (text,) = decoded(body).choices[0].content
    assert isinstance(text, Text)
    assert text.citations is not None
    assert [(found.url, found.start, found.end) for found in text.citations] == [("https://b.example", 0, 4)]


def test_log_probabilities() -> None:
    yes, no = {"token": "Yes", "logProbability": -0.1}, {"token": "Nö", "logProbability": -2.5}
    result = {"chosenCandidates": [{**yes, "tokenId": 1}], "topCandidates": [{"candidates": [yes, no]}]}
    body = answer({"text": "Yes"}, logprobsResult=result)
    response = decoded(body)
    token = {"token": "Yes", "logprob": -0.1, "bytes": [89, 101, 115]}
    other = {"token": "Nö", "logprob": -2.5, "bytes": [78, 195, 182]}
    assert response.choices[0].logprobs == [{**token, "top_logprobs": [token, other]}]
    assert CODEC.encode_response(response, Request(model="m", messages=[])) == body
    response.choices[0].extra = None
    again = CODEC.encode_response(response, Request(model="m", messages=[]))["candidates"][0]
    assert again["logprobsResult"] == {
        "chosenCandidates": [yes],
        "topCandidates": [{"candidates": [yes, no]}],
    }


@pytest.mark.parametrize(
    "part", [None, 3, {"text": 1}, {"functionCall": {}}, {"inlineData": []}, {"functionCall": "f"}, {}]
)
def test_a_malformed_part_does_not_hide_the_others(part: Any) -> None:
    content = decoded(answer(part, {"text": "Yes"})).choices[0].content
    assert content[-1] == Text(text="Yes")


def test_answers_of_other_makers() -> None:
    response = Response(
        id="i",
        model="claude",
        choices=[
            Choice(
                content=[
                    Thinking(text="hm", origin="anthropic", signature="s"),
                    HiddenThinking(data="x", origin="anthropic"),
                    Text(text="Yes"),
                    ToolUse(id="t", name="f", arguments=""),
                ],
                stop="tool_use",
            )
        ],
        usage=TokenUsage(input_tokens=5, output_tokens=2, cache_read_tokens=3, cache_write_tokens=2),
    )
    assert CODEC.encode_response(response, Request(model="m", messages=[])) == {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "hm", "thought": True},
                        {"text": "Yes"},
                        {"functionCall": {"id": "t", "name": "f", "args": {}}},
                    ],
                },
                "finishReason": "STOP",
            }
        ],
        "modelVersion": "claude",
        "responseId": "i",
        "usageMetadata": {
            "promptTokenCount": 10,
            "cachedContentTokenCount": 3,
            "candidatesTokenCount": 2,
            "totalTokenCount": 12,
        },
    }


def test_documents_of_an_answer() -> None:
    (block,) = decoded(answer({"inlineData": {"mimeType": "text/csv", "data": "aWs="}})).choices[0].content
    assert isinstance(block, Document)
