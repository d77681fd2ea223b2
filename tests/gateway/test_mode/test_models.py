"""What test calls reach: the simulated provider in every provider's place, and nobody else."""

import asyncio
import base64
import io
import math
import struct
import wave
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select
from tinytag import TinyTag

from gateway.billing.models import UsageEvent
from gateway.sim.sound import wav
from tests.gateway.test_mode.everyone import Everyone, before_everyone, data_of

QUESTION = "Where does the thread go?"
CONVERSATIONS: dict[str, dict[str, Any]] = {
    "/v1/messages": {"max_tokens": 90, "messages": [{"role": "user", "content": QUESTION}]},
    "/v1/chat/completions": {"max_tokens": 90, "messages": [{"role": "user", "content": QUESTION}]},
    "/v1/responses": {"max_output_tokens": 90, "input": QUESTION},
}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture
async def everyone(tmp_path: Path) -> AsyncIterator[Everyone]:
    async with before_everyone(tmp_path, test_credit_usd=50_000, max_tries=1) as running:
        yield running
        assert running.recorder.seen == []


async def test_a_model_of_every_provider_answers_in_every_dialect(everyone: Everyone) -> None:
    chosen = {name: f"{name}/{model}" for name, model in _ONE_OF.items()}
    chosen |= {"lab": "house", "books": "reader"}
    assert set(everyone.dialects) - set(chosen) == {"elevenlabs", "deepgram"}

    async def ask(path: str, model: str, stream: bool) -> None:
        body = {"model": model, "stream": stream, **CONVERSATIONS[path]}
        answer = await everyone.test.post(path, json=body)
        assert answer.status_code == 200, (path, model, answer.text)
        if not stream:
            assert f"You said: {QUESTION}" in answer.text, (path, model)
            return
        assert "thread" in answer.text
        assert "error" not in {event.get("type") for event in data_of(answer.text)}

    ways = [(path, stream) for path in CONVERSATIONS for stream in (False, True)]
    for model in chosen.values():
        await asyncio.gather(*(ask(path, model, stream) for path, stream in ways))
    events = await everyone.heddle.usage_events()
    assert len(events) == len(chosen) * len(ways)
    assert {event.provider for event in events} == {"sim"}
    assert {event.model for event in events} == set(chosen.values())
    assert [event.model for event in events if event.estimated or event.status != "ok"] == []
    assert all(event.cost_nanos > 0 for event in events)


_ONE_OF = {
    "anthropic": "claude-sonnet-4-5",
    "openai": "gpt-4o",
    "google": "gemini-2.5-flash",
    "deepseek": "deepseek-chat",
    "groq": "llama-3.3-70b-versatile",
    "xai": "grok-4",
    "mistral": "mistral-large-latest",
    "moonshot": "kimi-k3",
    "zai": "GLM-4.5",
    "minimax": "MiniMax-M2",
    "cloudflare": "@cf/meta/llama-3.1-8b-instruct",
    "cerebras": "qwen-3.8-27b",
    "cohere": "command-r-plus",
    "together": "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "fireworks": "accounts/fireworks/models/deepseek-v3p2",
    "openrouter": "ai21/jamba-1-5-mini",
}


async def test_a_test_call_costs_what_the_model_costs(everyone: Everyone) -> None:
    live, test = await everyone.models(everyone.heddle.http), await everyone.models(everyone.test)
    assert set(test) - set(live) == {"sim-small", "sim-large"}
    assert {name: test[name]["pricing"] for name in live} == {
        name: model["pricing"] for name, model in live.items()
    }
    assert {model["provider"] for model in test.values()} == {"sim"}
    assert {name: test[name]["dialects"] for name in live} == {
        name: model["dialects"] for name, model in live.items()
    }
    body = {"model": "house", **CONVERSATIONS["/v1/chat/completions"]}
    usage = (await everyone.test.post("/v1/chat/completions", json=body)).json()["usage"]
    (event,) = await everyone.heddle.usage_events()
    nanos = Decimal(usage["prompt_tokens"] * 2_000 + usage["completion_tokens"] * 4_000) * Decimal("1.07")
    assert event.cost_nanos == round(nanos)
    for path in ("/v1/models/sim-small", "/v1/models/claude-sonnet-4-5"):
        assert (await everyone.test.get(path)).status_code == 200
    assert (await everyone.heddle.http.get("/v1/models/sim-small")).status_code == 404
    hidden = {"model": "sim-small", **CONVERSATIONS["/v1/messages"]}
    assert (await everyone.heddle.http.post("/v1/messages", json=hidden)).status_code == 404


async def test_tools_cross_to_each_dialect_and_back(everyone: Everyone) -> None:
    tool = {"name": "get_weather", "input_schema": WEATHER}
    for model in ("anthropic/claude-sonnet-4-5", "openai/gpt-4o", "google/gemini-2.5-flash"):
        asked: list[Any] = [{"role": "user", "content": 'use get_weather {"city": "Oslo"}'}]
        body = {"model": model, "max_tokens": 200, "tools": [tool], "messages": asked}
        streamed = await everyone.test.post("/v1/messages", json={**body, "stream": True})
        assert "get_weather" in streamed.text and "tool_use" in streamed.text, streamed.text
        answer = (await everyone.test.post("/v1/messages", json=body)).json()
        (call,) = [block for block in answer["content"] if block["type"] == "tool_use"]
        assert call["input"] == {"city": "Oslo"}
        result = {"type": "tool_result", "tool_use_id": call["id"], "content": "snow"}
        asked += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
        final = (await everyone.test.post("/v1/messages", json=body)).json()
        assert "snow" in final["content"][-1]["text"]


async def test_aliases_turns_and_counts_stay_in_test_mode(everyone: Everyone) -> None:
    test = everyone.test
    for path in CONVERSATIONS:
        answer = await test.post(path, json={"model": "smart", **CONVERSATIONS[path]})
        assert answer.status_code == 200
    failing = [{"role": "user", "content": "hi [sim: status=503]"}]
    body = {"model": "smart", "max_tokens": 9, "messages": failing}
    assert (await test.post("/v1/messages", json=body)).status_code == 503  # both of them, in turn

    count = {"messages": [{"role": "user", "content": QUESTION}], "model": "anthropic/claude-sonnet-4-5"}
    counted = await test.post("/v1/messages/count_tokens", json=count)
    assert counted.json()["input_tokens"] > 0 and "x-heddle-estimated" not in counted.headers

    thread = (await test.post("/v1/threads", json={})).json()["id"]
    for model in ("smart", "openai/gpt-4o", "gemini-2.5-flash", "sim-small"):
        answer = await test.post(f"/v1/threads/{thread}/messages", json={"model": model, "content": QUESTION})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-heddle-mode"] == "test"
        assert "You said" in answer.json()["content"][-1]["text"]


async def test_what_the_real_provider_cannot_do_is_refused(everyone: Everyone) -> None:
    asked = CONVERSATIONS["/v1/messages"]
    bodies: tuple[tuple[str, dict[str, Any], str], ...] = (
        ("/v1/messages", {**asked, "model": "google/gemini-2.5-flash", "container": "c_1"}, "unsupported"),
        ("/v1/messages", {**asked, "model": "elevenlabs/eleven_v3"}, "unsupported"),
        ("/v1/messages", {**asked, "model": "no-such"}, "model_not_found"),
        ("/v1/embeddings", {"model": "anthropic/claude-sonnet-4-5", "input": "x"}, "unsupported"),
    )
    for path, body, error in bodies:
        answer = await everyone.test.post(path, json=body)
        assert answer.json()["error"]["code"] == error, (body, answer.text)


async def test_embeddings_are_unit_vectors_of_the_text(everyone: Everyone) -> None:
    async def embed(asked: Any, **more: Any) -> list[list[float]]:
        body = {"model": "text-embedding-3-small", "input": asked, **more}
        answer = await everyone.test.post("/v1/embeddings", json=body)
        assert answer.status_code == 200, answer.text
        return [one["embedding"] for one in answer.json()["data"]]

    first, again, other = await embed(["the red thread", "the red thread", "a blue loom"])
    assert first == again != other and len(first) == 1_536
    assert math.isclose(sum(value * value for value in first), 1)
    (near,) = await embed("one red thread")
    assert _likeness(first, near) > _likeness(first, other)
    (short,) = await embed([1, 2, 3], dimensions=64)
    assert len(short) == 64
    (text,) = await embed("the red thread", encoding_format="base64")
    packed = base64.b64decode(str(text))
    assert list(struct.unpack("<1536f", packed)) == pytest.approx(first)


async def test_speech_is_sound(everyone: Everyone) -> None:
    for model in ("tts-1", "gpt-4o-mini-tts", "elevenlabs/eleven_v3"):
        sounds: dict[str, bytes] = {}
        for form in ("wav", "mp3", "pcm"):
            body = {"model": model, "input": "x" * 45, "voice": "alloy", "response_format": form}
            answer = await everyone.test.post("/v1/audio/speech", json=body)
            assert answer.status_code == 200, answer.text
            sounds[form] = answer.content
        with wave.open(io.BytesIO(sounds["wav"])) as file:
            assert file.getnframes() / file.getframerate() == pytest.approx(3, abs=0.01)
        assert TinyTag.get(file_obj=io.BytesIO(sounds["mp3"])).duration == pytest.approx(3, abs=0.2)
        assert len(sounds["pcm"]) == 3 * 48_000
    body = {"model": "tts-1", "input": "x", "voice": "alloy", "response_format": "flac"}
    refused = await everyone.test.post("/v1/audio/speech", json=body)
    assert refused.status_code == 422 and "mp3, wav, pcm" in refused.json()["error"]["message"]


async def test_a_transcription_knows_how_long_the_file_is(everyone: Everyone) -> None:
    sound = wav(4)
    for model in ("whisper-1", "gpt-4o-transcribe", "deepgram/nova-3"):
        for form in ("verbose_json", "text", "srt"):
            answer = await everyone.test.post(
                "/v1/audio/transcriptions",
                data={"model": model, "response_format": form},
                files={"file": ("speech.wav", sound, "audio/wav")},
            )
            assert answer.status_code == 200, answer.text
            assert "simulated transcript" in answer.text
            if form == "verbose_json":
                assert answer.json()["duration"] == pytest.approx(4, abs=0.01)
    units = {
        (event.model, unit["unit"], unit["count"])
        for event in await everyone.heddle.usage_events()
        for unit in event.breakdown
        if unit["unit"] == "audio_second"
    }
    assert units == {("whisper-1", "audio_second", 4), ("deepgram/nova-3", "audio_second", 4)}


async def test_images_are_pictures(everyone: Everyone) -> None:
    for model, stream in (
        ("painter", False),
        ("painter", True),
        ("gpt-image-1", False),
        ("gpt-image-1", True),
    ):
        body = {"model": model, "prompt": "a loom", "n": 1, "stream": stream}
        answer = await everyone.test.post("/v1/images/generations", json=body)
        assert answer.status_code == 200, answer.text
        made = data_of(answer.text)[-1] if stream else answer.json()["data"][0]
        assert base64.b64decode(made["b64_json"]).startswith(b"\x89PNG\r\n\x1a\n")
    events = await everyone.heddle.usage_events()
    assert [event.estimated for event in events] == [False] * 4
    assert events[0].cost_nanos == events[1].cost_nanos == 42_800_000


async def test_what_test_calls_break_stays_whole_for_live_ones(everyone: Everyone) -> None:
    """The circuit breaker, the keys' rest and the slots of a stand-in are its own."""
    broken = [{"role": "user", "content": "hi [sim: status=500]"}]
    body = {"model": "house", "messages": broken}
    for _ in range(7):
        failed = await everyone.test.post("/v1/chat/completions", json=body)
    assert failed.json()["error"]["code"] == "circuit_open"
    async with everyone.heddle.app.db.session() as session:
        query = select(UsageEvent.status).order_by(col(UsageEvent.created_at))
        assert set(await session.exec(query)) == {"error"}
    ordinary = [{"role": "user", "content": "hi"}]
    live = await everyone.heddle.http.post("/v1/chat/completions", json={**body, "messages": ordinary})
    assert live.status_code == 400 and len(everyone.recorder.seen) == 1  # the live call reached the provider
    everyone.recorder.seen.clear()


def _likeness(one: list[float], other: list[float]) -> float:
    return sum(first * second for first, second in zip(one, other, strict=True))
