"""A thread goes from maker to maker: each is sent its own thoughts and nobody else's."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.webhook import WeatherHook, build_weather_hook
from gateway.inference.providers import Provider
from gateway.inference.sight import sees
from gateway.loopback import served
from gateway.settings import ModelSettings
from gateway.sim.anthropic_answer import SIGNATURE
from gateway.sim.server import SimServer
from kit.errors import Unsupported
from tests.serving import Served, heddle
from tests.threads.test_repair import check
from threads.context.portable import calm_thinking, portable
from threads.model_client import ModelFacts
from threads.models import Message

PROVIDERS = {
    "anthropic": ("anthropic", ""),
    "kin": ("anthropic", ""),
    "openai": ("openai-responses", "/v1"),
    "google": ("google", ""),
    "groq": ("openai-chat", "/v1"),
}
UPSTREAM_MODELS = {
    "anthropic": "claude-sonnet-4-5",
    "kin": "kin-1",
    "openai": "gpt-5",
    "google": "gemini-2.5-pro",
    "groq": "gpt-oss-120b",
}
MODELS = {
    f"{provider}-model": ModelSettings(
        provider=provider, upstream_model=name, input_usd_per_mtok=1, output_usd_per_mtok=5,
        max_output_tokens=8_000,
    )
    for provider, name in UPSTREAM_MODELS.items()
}  # fmt: skip
THINKING = {"type": "enabled", "budget_tokens": 1_024}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}


@asynccontextmanager
async def rigged(url: str, data_dir: Path) -> AsyncIterator[tuple[Served, SimServer]]:
    """Heddle before the simulated provider in five makers' places, with the tool ``get_weather``."""
    sim = SimServer(remember=64)
    base = await sim.start()
    providers = {
        name: Provider(name, {dialect: f"{base}/as/{name}{path}"}, ("k",))
        for name, (dialect, path) in PROVIDERS.items()
    }
    try:
        async with heddle(url, data_dir, providers=providers, models=MODELS) as running:
            hook = WeatherHook()
            hook_url = await running.stack.enter_async_context(served(lambda _: build_weather_hook(hook)))
            tool = {"name": "get_weather", "description": "Weather", "input_schema": SCHEMA}
            admin = await running.client()
            made = await admin.post("/v1/tools", json={**tool, "webhook_url": f"{hook_url}/weather"})
            hook.secret = made.raise_for_status().json()["secret"]
            yield running, sim
    finally:
        await sim.stop()


async def test_a_thread_wanders_from_maker_to_maker(database_url: str, tmp_path: Path) -> None:
    async with rigged(database_url, tmp_path) as (running, sim):
        user, _ = await running.mint()
        thread = (await user.post("/v1/threads", json={})).json()["id"]

        async def ask(maker: str, content: Any, **more: Any) -> tuple[int, str]:
            """The answer's status, and the last request that the maker heard."""
            body = {"model": f"{maker}-model", "max_tokens": 4_000, "tools": ["get_weather"], **more}
            answer = await user.post(f"/v1/threads/{thread}/messages", json={**body, "content": content})
            if answer.status_code != 200:
                return answer.status_code, answer.text
            assert answer.json()["tool_calls"][0]["is_error"] is False
            assert sim.app.seen[-1].path.startswith(f"/as/{maker}/")
            return 200, sim.app.seen[-1].body.decode()

        call = [{"type": "text", "text": 'use get_weather {"city": "Oslo"}'}]
        _, first = await ask("anthropic", [*call, IMAGE], thinking=THINKING)
        assert first.count(SIGNATURE) == 1  # of the step before, in the same turn

        _, kin = await ask("kin", call)
        assert SIGNATURE not in kin and PIXEL in kin
        check(json.loads(kin)["messages"])
        for maker in ("openai", "google"):
            status, heard = await ask(maker, call)
            assert status == 200 and SIGNATURE not in heard and PIXEL in heard
            assert heard.count("Oslo") >= 4

        _, blind = await ask("groq", call)  # what it cannot see is left out of what was said before
        assert PIXEL not in blind and "cannot see it" in blind
        status, refusal = await ask("groq", [*call, IMAGE])
        assert status == 422 and "groq-model cannot see" in refusal

        _, back = await ask("anthropic", call, thinking=THINKING)
        messages = json.loads(back)["messages"]
        check(messages)
        thoughts = [
            place
            for place, one in enumerate(messages)
            for block in one["content"]
            if block["type"] in {"thinking", "redacted_thinking"}
        ]
        assert thoughts[:2] == [1, 3] and thoughts[2:] == [21]  # its own, two turns of it
        assert back.count(SIGNATURE) == len(thoughts) and PIXEL in back


def facts(**changes: Any) -> ModelFacts:
    usual: dict[str, Any] = {
        "models": frozenset({"m"}),
        "providers": frozenset({"anthropic"}),
        "context_window": None,
        "default_max_tokens": 100,
        "native": True,
        "prompt_caching": True,
        "vision": True,
        "tokens_of": lambda _: 0,
        "message_tokens": lambda _: 0,
    }
    return ModelFacts(**{**usual, **changes})


def said(role: str, content: Any, provider: str | None = None) -> Message:
    return Message(
        id="1", account_id="a", thread_id="t", seq=1, role=role, content=content, provider=provider,
        created_at=0,
    )  # fmt: skip


SEALED = [
    {"type": "thinking", "thinking": "hm", "signature": "s"},
    {"type": "redacted_thinking", "data": "d"},
    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"encrypted_content": "e"}]},
]
QUOTE = {"type": "text", "text": "So it is.", "citations": [{"encrypted_index": "i"}]}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}


@pytest.mark.parametrize("maker", ["anthropic", None])
def test_what_a_maker_sealed_comes_back_to_it(maker: str | None) -> None:
    content = [*SEALED, QUOTE, CALL]
    assert portable(said("assistant", content, maker), facts(), current=False) == content


def test_what_another_maker_sealed_is_left_out() -> None:
    shown = portable(said("assistant", [*SEALED, QUOTE, CALL], "openai"), facts(), current=False)
    assert shown == [{"type": "text", "text": "So it is."}, CALL]


def test_media_that_a_model_cannot_have_are_marked() -> None:
    note = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    file = {"type": "document", "source": {"type": "file", "file_id": "f"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [IMAGE, note]}
    message = said("user", [IMAGE, note, file, result])
    unseen = {
        "type": "text",
        "text": "[image (image/png of 1 x 1 pixels, 69 bytes) left out: this model cannot see it]",
    }
    shown = portable(message, facts(vision=False), current=False)
    assert shown[:2] == [unseen, note] and shown[3]["content"] == [unseen, note]
    elsewhere = portable(message, facts(native=False), current=False)
    assert elsewhere[0] == IMAGE and "at another provider" in elsewhere[2]["text"]
    assert portable(message, facts(), current=False) == message.content
    odd = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A"}}
    [described] = portable(said("user", [odd]), facts(vision=False), current=False)
    assert described["text"] == "[image left out: this model cannot see it]"
    with pytest.raises(Unsupported, match="m cannot see"):
        portable(message, facts(vision=False), current=True)


def test_a_round_begun_without_thoughts_is_finished_without() -> None:
    asked = {"role": "user", "content": [{"type": "text", "text": "?"}]}
    called = {"role": "assistant", "content": [CALL]}
    thought = {"role": "assistant", "content": [SEALED[0], CALL]}
    answered = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]}
    off = {"thinking": {"type": "disabled"}}
    params = {"thinking": THINKING}
    assert calm_thinking(params, [asked, called, answered]) == off
    assert calm_thinking(params, [asked, thought, answered]) == {}
    assert calm_thinking(params, [asked, called, answered, called, asked]) == {}
    assert calm_thinking({}, [asked, called, answered]) == {}


@pytest.mark.parametrize(
    ("model", "seen"),
    [
        ("gpt-4", False),
        ("gpt-4o", True),
        ("openai/gpt-oss-120b", False),
        ("deepseek-chat", False),
        ("glm-4.6", False),
        ("GLM-4.6V", True),
        ("kimi-k2-thinking", False),
        ("kimi-k2.6", True),
        ("llama-3.3-70b-versatile", False),
        ("llama-3.2-90b-vision-preview", True),
        ("claude-sonnet-4-5", True),
        ("gemini-2.5-pro", True),
    ],
)
def test_who_sees(model: str, seen: bool) -> None:
    assert sees(model) is seen
