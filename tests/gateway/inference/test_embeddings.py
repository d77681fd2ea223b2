"""Embeddings: passed through, billed by what was read, refused where nobody makes them."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError

from gateway.inference.dialects.openai_embeddings import OpenAIEmbeddings
from gateway.inference.providers import Provider
from gateway.loopback import served
from gateway.settings import ModelSettings
from tests.gateway.inference.upstream import Upstream, whole
from tests.gateway.serving import Serving, serving

RECORDED = Path(__file__).parents[4] / "shared" / "recorded" / "openai-embeddings"
FREE_OUTPUT: dict[str, Any] = {"input_usd_per_mtok": Decimal("0.02"), "output_usd_per_mtok": Decimal(0)}
ANSWER = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}],
    "model": "embed-1",
    "usage": {"prompt_tokens": 1000, "total_tokens": 1000},
}


@pytest.fixture
def upstream() -> Upstream:
    return Upstream(whole(json.dumps(ANSWER).encode()))


@pytest.fixture
async def heddle(upstream: Upstream, tmp_path: Path) -> AsyncIterator[Serving]:
    async with served(lambda _: upstream) as url:
        providers = {
            "openai": Provider("openai", {"openai-chat": f"{url}/v1"}, ("k",), prices_id="openai"),
            "other": Provider("other", {"anthropic": url}, ("k",)),
        }
        models = {
            "embed": ModelSettings(provider="openai", upstream_model="embed-1", **FREE_OUTPUT),
            "claude": ModelSettings(provider="other", **FREE_OUTPUT),
        }
        async with serving(tmp_path, providers, models=models) as running:
            yield running


async def test_the_sdk_gets_its_vectors_and_the_reading_is_billed(
    heddle: Serving, upstream: Upstream
) -> None:
    async with AsyncOpenAI(api_key=heddle.admin_key, base_url=f"{heddle.base_url}/v1") as client:
        made = await client.embeddings.create(model="embed", input=["warp"], encoding_format="float")
    assert made.data[0].embedding == [0.25, -0.5]
    assert upstream.only.path == "/v1/embeddings"
    assert json.loads(upstream.only.body)["model"] == "embed-1"
    event = await heddle.only_event()
    assert (event.input_tokens, event.output_tokens) == (1000, 0)
    assert event.cost_nanos == 1000 * 20 * 107 // 100


async def test_a_listed_embedding_model_is_priced_and_makes_no_text(heddle: Serving) -> None:
    model = "text-embedding-3-small"
    made = await heddle.http.post("/v1/embeddings", json={"model": model, "input": "warp"})
    assert made.status_code == 200, made.text
    chat = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    refused = await heddle.http.post("/v1/chat/completions", json=chat)
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "model_not_priced")


async def test_a_provider_without_embeddings_is_a_422(heddle: Serving, upstream: Upstream) -> None:
    got = await heddle.http.post("/v1/embeddings", json={"model": "claude", "input": "warp"})
    assert (got.status_code, got.json()["error"]["param"]) == (422, "model")
    assert upstream.heard == []
    assert await heddle.holds() == []


@pytest.mark.parametrize("asked", [None, "", [], 7, ["x"] * 2049])
async def test_a_bad_input_names_the_field(heddle: Serving, upstream: Upstream, asked: Any) -> None:
    async with AsyncOpenAI(api_key=heddle.admin_key, base_url=f"{heddle.base_url}/v1") as client:
        with pytest.raises(BadRequestError) as caught:
            await client.embeddings.create(model="embed", input=asked, encoding_format="float")
    assert caught.value.param == "input"
    assert upstream.heard == []


async def test_an_answer_without_usage_is_billed_by_an_estimate(heddle: Serving, upstream: Upstream) -> None:
    upstream.answer = whole(json.dumps({**ANSWER, "usage": None}).encode())
    made = await heddle.http.post("/v1/embeddings", json={"model": "embed", "input": "warp " * 100})
    assert made.status_code == 200
    event = await heddle.only_event()
    assert event.estimated
    assert 0 < event.input_tokens < 500
    assert event.output_tokens == 0


@pytest.mark.skipif(not RECORDED.is_dir(), reason=f"{RECORDED} is not there")
def test_the_usage_of_recorded_answers_is_read() -> None:
    read = 0
    for path in sorted(RECORDED.glob("*.json")):
        recorded = json.loads(path.read_text(encoding="utf-8"))
        if recorded["response"]["status"] == 200:
            body = json.loads(recorded["response"]["body"])
            usage = OpenAIEmbeddings().response_usage(body)
            assert usage is not None
            assert usage.input_tokens == body["usage"]["prompt_tokens"]
            OpenAIEmbeddings().facts(recorded["request"]["body"])
            read += 1
    assert read == 3
