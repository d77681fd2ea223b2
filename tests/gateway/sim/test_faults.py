"""Every fault a text can ask for, as a client meets it."""

import time
from typing import Any

import anthropic
import httpx
import openai
import pytest

from gateway.sim.server import SimServer
from tests.gateway.sim.conftest import chat_body, messages_body

CALLING = [
    {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "ok"}]},
]


def second_step(text: str) -> dict[str, Any]:
    """The request that brings a tool's result."""
    return messages_body(text, messages=[{"role": "user", "content": text}, *CALLING])


async def test_statuses_reach_the_anthropic_sdk_as_its_errors(sim_url: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=sim_url, api_key="any", max_retries=0) as client:

        async def ask(text: str) -> None:
            await client.messages.create(
                model="sim", max_tokens=5, messages=[{"role": "user", "content": text}]
            )

        with pytest.raises(anthropic.RateLimitError) as limited:
            await ask("[sim: status=429 retry-after=7]")
        assert limited.value.response.headers["retry-after"] == "7"
        with pytest.raises(anthropic.InternalServerError, match="overloaded_error"):
            await ask("[sim: status=529]")
        with pytest.raises(anthropic.PermissionDeniedError):
            await ask("[sim: status=403]")


async def test_statuses_reach_the_openai_sdk_as_its_errors(sim_url: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{sim_url}/v1", api_key="any", max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as limited:
            await client.chat.completions.create(
                model="sim", messages=[{"role": "user", "content": "[sim: status=429]"}]
            )
        assert (limited.value.type, limited.value.code) == ("requests", "rate_limit_exceeded")
        with pytest.raises(openai.InternalServerError) as failed:
            await client.chat.completions.create(
                model="sim", messages=[{"role": "user", "content": "[sim: status=503]"}]
            )
        assert failed.value.type == "server_error"


async def test_an_sdk_that_retries_gets_through(sim_url: str) -> None:
    async with anthropic.AsyncAnthropic(base_url=sim_url, api_key="any", max_retries=2) as client:
        message = await client.messages.create(
            model="sim",
            max_tokens=50,
            messages=[{"role": "user", "content": "hi [sim: fail-times=1 status=503]"}],
        )
    assert message.stop_reason == "end_turn"


async def test_fail_times_counts_anew_after_a_success(http: httpx.AsyncClient) -> None:
    body = messages_body("[sim: fail-times=2 status=500]")
    statuses = [(await http.post("/v1/messages", json=body)).status_code for _ in range(6)]
    assert statuses == [500, 500, 200, 500, 500, 200]


async def test_fail_times_is_counted_per_conversation(http: httpx.AsyncClient) -> None:
    for text in ("one", "two"):
        answer = await http.post("/v1/messages", json=messages_body(f"{text} [sim: fail-times=1]"))
        assert answer.status_code == 500


async def test_a_fault_stays_in_force_in_the_tool_rounds_that_follow(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/messages", json=second_step("use t {} [sim: status=529]"))
    assert answer.status_code == 529


async def test_a_fault_may_be_limited_to_one_step(http: httpx.AsyncClient) -> None:
    text = "use t {} [sim: status=529 step=2]"
    assert (await http.post("/v1/messages", json=messages_body(text))).status_code == 200
    assert (await http.post("/v1/messages", json=second_step(text))).status_code == 529


async def test_a_conversation_goes_on_after_a_fault(http: httpx.AsyncClient) -> None:
    messages = [{"role": "user", "content": "[sim: status=529]"}, {"role": "user", "content": "again"}]
    answer = await http.post("/v1/messages", json=messages_body("", messages=messages))
    assert answer.status_code == 200


async def test_a_tool_result_gives_no_directives(http: httpx.AsyncClient) -> None:
    body = second_step("hi")
    body["messages"][-1]["content"][0]["content"] = "[sim: status=529] use t {}"
    answer = await http.post("/v1/messages", json=body)
    assert answer.status_code == 200
    assert answer.json()["stop_reason"] == "end_turn"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_a_stream_breaks_off_after_so_many_events(http: httpx.AsyncClient, path: str) -> None:
    text = "[sim: break-after=3]"
    body = messages_body(text) if path == "/v1/messages" else chat_body(text)
    received = b""
    with pytest.raises(httpx.RemoteProtocolError):
        async with http.stream("POST", path, json={**body, "stream": True}) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_raw():
                received += piece
    assert received.count(b"\n\n") == 3


async def test_a_whole_answer_breaks_off_in_the_middle(http: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/v1/messages", json=messages_body("[sim: break-after=1]"))


async def test_a_stream_may_end_in_an_error_event(http: httpx.AsyncClient) -> None:
    text = "[sim: error-after=4]"
    one = await http.post("/v1/messages", json=messages_body(text, stream=True))
    other = await http.post("/v1/chat/completions", json=chat_body(text, stream=True))
    assert one.text.endswith(
        'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    )
    assert '{"error":{"message":' in other.text.split("\n\n")[-2]
    assert "[DONE]" not in other.text
    assert (await http.post("/v1/messages", json=messages_body(text))).status_code == 500


@pytest.mark.parametrize("stream", [True, False])
async def test_a_stall_lasts_until_the_client_goes(sim_url: str, stream: bool) -> None:
    headers = {"x-api-key": "any", "anthropic-version": "2023-06-01"}
    async with httpx.AsyncClient(base_url=sim_url, headers=headers, timeout=0.3) as impatient:
        with pytest.raises(httpx.ReadTimeout):
            await impatient.post("/v1/messages", json=messages_body("[sim: stall-after=2]", stream=stream))


async def test_the_server_stops_although_somebody_waits(sim_server: SimServer) -> None:
    sim_url = await sim_server.start()
    headers = {"x-api-key": "any", "anthropic-version": "2023-06-01"}
    async with httpx.AsyncClient(base_url=sim_url, headers=headers) as http:
        body = messages_body("[sim: stall-after=2]", stream=True)
        async with http.stream("POST", "/v1/messages", json=body) as answer:
            await anext(answer.aiter_raw())
            started = time.monotonic()
            await sim_server.stop()
            assert time.monotonic() - started < 5


async def test_garbage_is_not_json(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/messages", json=messages_body("[sim: garbage]"))
    assert answer.status_code == 200
    assert answer.text.startswith("<html>")


async def test_latency_and_pace_take_their_time(http: httpx.AsyncClient) -> None:
    started = time.monotonic()
    body = messages_body("[sim: latency=100ms pace=20ms words=2]", stream=True)
    async with http.stream("POST", "/v1/messages", json=body) as answer:
        assert time.monotonic() - started >= 0.1
        arrived = [time.monotonic() async for _ in answer.aiter_raw()]
    assert arrived[-1] - arrived[0] >= 6 * 0.02


async def test_what_was_sent_can_be_looked_up(sim_server: SimServer) -> None:
    async with httpx.AsyncClient(base_url=await sim_server.start(), headers={"x-api-key": "any"}) as http:
        await http.post("/v1/messages", json=messages_body("hi"))
    [seen] = sim_server.app.seen
    assert (seen.path, seen.headers["x-api-key"]) == ("/v1/messages", "any")
    assert b'"hi"' in seen.body
    assert "any" not in repr(seen)


async def test_a_taken_port_is_reported(sim_url: str) -> None:
    with pytest.raises(OSError, match="in use"):
        await SimServer().start(port=int(sim_url.rpartition(":")[2]))
