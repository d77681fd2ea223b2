"""The simulator in a vendor's place: any model, more routes, and errors in the vendor's own form."""

from typing import Any

import httpx
import pytest

from tests.gateway.sim.conftest import chat_body, messages_body

GOOGLE = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


async def test_it_has_any_model_there_and_only_there(http: httpx.AsyncClient) -> None:
    for path, body in (("/v1/messages", messages_body("hi")), ("/v1/chat/completions", chat_body("hi"))):
        named = {**body, "model": "weaver-9", "max_tokens": 100_000}
        assert (await http.post(path, json=named)).status_code == 404
        answer = (await http.post(f"/as/acme{path}", json=named)).json()
        assert answer["model"] == "weaver-9" and "You said: hi" in str(answer)


async def test_vendors_words_for_forcing_a_tool_are_understood(http: httpx.AsyncClient) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}
    for choice in ("any", allowed):
        body = chat_body("hi", tools=[tool], tool_choice=choice)
        answer = (await http.post("/as/mistral/v1/chat/completions", json=body)).json()
        assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "look"


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/v1/embeddings", {"model": "m", "input": "x"}, 404, "Invalid URL"),
        ("/v1/responses", {"model": "m", "input": "x"}, 404, "Invalid URL"),
        ("/as/acme/v1/nothing", {}, 404, "Invalid URL"),
        ("/as/acme/v1beta/models/m:nothing", GOOGLE, 404, "Invalid URL"),
        ("/as/acme/v1beta/models/m:generateContent", {"contents": []}, 400, "contents"),
        ("/as/acme/v1beta/models/m:generateContent", {"contents": [7]}, 400, "contents"),
        ("/as/acme/v1/responses", {"model": "m", "input": 7}, 400, "input"),
        ("/as/acme/v1/responses", {"input": "x"}, 400, "model"),
        ("/as/acme/v1/embeddings", {"model": "m", "input": [None]}, 400, "input"),
        ("/as/acme/v1/embeddings", {"model": "m", "input": "x", "dimensions": 0}, 400, "dimensions"),
        ("/as/acme/v1/embeddings", {"model": 7, "input": "x"}, 400, "model"),
        ("/as/acme/v1/images/generations", {"model": "m", "prompt": "x", "n": 11}, 400, "n"),
        ("/as/acme/v1/audio/speech", {"model": "m", "input": ""}, 400, "input"),
        ("/as/acme/v1/audio/speech", {"model": "m", "input": "x", "response_format": "opus"}, 422, "opus"),
        ("/as/acme/v1/audio/transcriptions", {"model": "m"}, 400, "file"),
        ("/as/acme/v1/text-to-speech/v", {"text": 1}, 400, "text"),
    ],
)
async def test_what_cannot_be_served_is_refused_by_name(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    answer = await http.post(path, json=body)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]["message"]


async def test_faults_are_met_in_every_dialect(http: httpx.AsyncClient) -> None:
    fault = {"contents": [{"role": "user", "parts": [{"text": "[sim: status=503]"}]}]}
    answer = await http.post("/as/google/v1beta/models/m:generateContent", json=fault)
    assert (answer.status_code, answer.json()["error"]["status"]) == (503, "UNAVAILABLE")
    broken = {"model": "m", "input": "hi [sim: error-after=2]", "stream": True}
    stream = await http.post("/as/openai/v1/responses", json=broken)
    assert "event: error" in stream.text and "response.completed" not in stream.text
