"""Search by meaning in a whole Heddle: who pays for it, and what happens when nobody can."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlite_vec
from sqlmodel import select
from starlette.types import Send

import kit.sqlite_vectors
import threads.search
from gateway.billing.models import Hold
from gateway.inference.providers import Provider
from gateway.loopback import served
from gateway.settings import AliasSettings, AliasTarget, BadSettings, ModelSettings
from kit.money import Nanos
from tests.gateway.inference.upstream import Upstream, silence, whole
from tests.gateway.serving import Serving, serving
from tests.threads.library import jsonl
from tests.threads.meanings import meaning
from threads.models import EmbeddingBacklog

PRICES: dict[str, Any] = {"input_usd_per_mtok": Decimal(1000), "output_usd_per_mtok": Decimal(0)}
MODELS = {
    "embed": ModelSettings(provider="fake", upstream_model="embed-1", **PRICES),
    "talk": ModelSettings(provider="other", **PRICES),
}
TOKENS = 10
COST = TOKENS * 1000 * 1000 * 107 // 100
"""In nano-USD, of every call: the provider says that it was ten tokens."""


def provider_of_meanings() -> Upstream:
    async def answer(send: Send) -> None:
        asked = json.loads(upstream.heard[-1].body)
        data = [
            {"index": number, "embedding": meaning(text, asked["dimensions"])}
            for number, text in enumerate(asked["input"])
        ]
        made = {"object": "list", "data": data[::-1], "usage": {"prompt_tokens": TOKENS}}
        await whole(json.dumps(made).encode())(send)

    upstream = Upstream(answer)
    return upstream


@asynccontextmanager
async def searching(folder: Path, upstream: Upstream, **settings: Any) -> AsyncIterator[Serving]:
    async with served(lambda _url: upstream) as url:
        providers = {
            "fake": Provider("fake", {"openai-chat": f"{url}/v1"}, ("k",)),
            "other": Provider("other", {"anthropic": url}, ("k",)),
        }
        chosen = {"models": MODELS, "search_embedding_model": "embed", "search_embedding_dimensions": 16}
        async with serving(folder, providers, max_tries=1, **{**chosen, **settings}) as running:
            yield running


async def told(heddle: Serving, key: dict[str, Any], *contents: str, **header: Any) -> str:
    """A thread of these messages, made with a key; its id."""
    headers = {"x-api-key": key["secret"]}
    answer = await heddle.http.post("/v1/threads/import", content=jsonl(*contents, **header), headers=headers)
    await heddle.app.search_filler.fill()
    return str(answer.raise_for_status().json()["id"])


async def embedded(heddle: Serving) -> None:
    async with asyncio.timeout(20):
        while True:
            assert heddle.app.embedder is not None
            await heddle.app.embedder.fill()
            async with heddle.app.db.session() as session:
                if (await session.exec(select(EmbeddingBacklog.entry_id))).first() is None:
                    return
            await asyncio.sleep(0.05)


async def search(heddle: Serving, key: dict[str, Any], query: str) -> tuple[str, set[str]]:
    """How it was searched for, and the threads that were found."""
    answer = await heddle.http.get("/v1/search", params={"q": query}, headers={"x-api-key": key["secret"]})
    assert answer.status_code == 200, answer.text
    return answer.json()["mode"], {hit["thread_id"] for hit in answer.json()["data"]}


async def spent_for(heddle: Serving, purpose: str) -> list[tuple[str, str | None, str, int]]:
    shown = (await heddle.http.get("/v1/usage/events")).json()["data"]
    return [
        (event["key_id"], event["end_user_id"], event["status"], round(Decimal(event["cost_usd"]) * 10**9))
        for event in reversed(shown)
        if event["purpose"] == purpose
    ]


async def test_messages_and_queries_are_paid_by_their_own_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream = provider_of_meanings()
    async with searching(tmp_path, upstream) as heddle:
        writer = await heddle.mint(rpm=1)
        reader, bound = await heddle.mint(rpm=1), await heddle.mint(end_user_id="ann")
        hers = await told(heddle, writer, "an automobile", end_user_id="ann")
        await embedded(heddle)
        nobodys = await told(heddle, writer, "the vehicle")
        await embedded(heddle)
        assert await search(heddle, reader, "car") == ("hybrid", {hers, nobodys})
        assert await search(heddle, bound, "car") == ("hybrid", {hers})
        assert await spent_for(heddle, "search_index") == [
            (writer["id"], "ann", "ok", COST),
            (writer["id"], None, "ok", COST),
        ]
        assert await spent_for(heddle, "search_query") == [
            (reader["id"], None, "ok", COST),
            (bound["id"], "ann", "ok", COST),
        ]
        sent = json.loads(upstream.heard[0].body)
        assert (sent["model"], sent["dimensions"], sent["input"]) == ("embed-1", 16, ["an automobile"])

        heard = len(upstream.heard)
        broke = await heddle.mint(max_spend_usd=0)
        assert await search(heddle, broke, "vehicle") == ("lexical", {nobodys})
        assert len(upstream.heard) == heard
        upstream.answer = whole(b"{}", status=500)
        assert await search(heddle, reader, "vehicle") == ("lexical", {nobodys})
        upstream.answer = whole(b'{"data": [{"embedding": []}], "usage": {"prompt_tokens": 1}}')
        assert await search(heddle, reader, "vehicle") == ("lexical", {nobodys})
        monkeypatch.setattr(threads.search, "QUERY_VECTOR_WITHIN_S", 0.2)
        upstream.answer = silence
        assert await search(heddle, reader, "vehicle") == ("lexical", {nobodys})
        assert [status for _, _, status, _ in (await spent_for(heddle, "search_query"))[2:]] == [
            "error",
            "error",
            "cancelled",
        ]
        assert await heddle.holds() == []


async def test_an_empty_wallet_delays_the_vectors_and_loses_none(tmp_path: Path) -> None:
    upstream = provider_of_meanings()
    async with searching(tmp_path, upstream, starter_credit_usd=Decimal(0)) as heddle:
        key = await heddle.mint()
        thread = await told(heddle, key, "an automobile")
        assert heddle.app.embedder is not None
        await heddle.app.embedder.fill()
        assert await search(heddle, key, "automobile") == ("lexical", {thread})
        assert upstream.heard == []
        account = (await heddle.wallet()).account_id
        await heddle.app.billing.credit(account, Nanos(10**9), kind="credit", entry_id="e", reference="")
        await embedded(heddle)
        assert await search(heddle, key, "car") == ("hybrid", {thread})
        assert (await heddle.wallet()).balance_nanos == 10**9 - 2 * COST


async def test_test_accounts_search_with_simulated_vectors_and_play_money(tmp_path: Path) -> None:
    upstream = provider_of_meanings()
    async with searching(tmp_path, upstream, with_sim=True) as heddle:
        key = await heddle.mint(mode="test")
        thread = await told(heddle, key, "warp and weft", "shuttle")
        await embedded(heddle)
        assert await search(heddle, key, "weft loom") == ("hybrid", {thread})
        assert upstream.heard == []
        async with heddle.app.db.session() as session:
            assert (await session.exec(select(Hold))).all() == []


async def refused(folder: Path, **settings: Any) -> str:
    with pytest.raises(BadSettings) as caught:
        async with searching(folder, provider_of_meanings(), **settings):
            pass
    return str(caught.value)


async def test_a_model_that_cannot_be_used_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = AliasSettings(targets=(AliasTarget(model="embed"), AliasTarget(model="talk")))
    for model, why in {
        "nowhere": "model nowhere is not known here",
        "talk": "it has no such route",
        "both": "both is an alias",
    }.items():
        said = await refused(tmp_path, search_embedding_model=model, aliases={"both": both})
        assert said.startswith("HEDDLE_SEARCH_EMBEDDING_MODEL: ") and why in said
    monkeypatch.setattr(kit.sqlite_vectors, "CAN_LOAD", False)
    monkeypatch.setattr(sqlite_vec, "loadable_path", lambda: "/nowhere/vec0")
    said = await refused(tmp_path)
    assert said.startswith("HEDDLE_SEARCH_EMBEDDING_MODEL: this Python's sqlite3 cannot load extensions")


async def test_a_postgresql_without_the_extension_is_told_what_to_do(
    postgres_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("DROP ROLE IF EXISTS modest")
        admin.execute("CREATE ROLE modest LOGIN")
        admin.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO modest")
        admin.execute("GRANT ALL ON SCHEMA public TO modest")
    modest = postgres_url.replace("//postgres:", "//modest:", 1)
    assert modest != postgres_url
    said = await refused(tmp_path, database_url=modest)
    assert "permission denied" in said and "CREATE EXTENSION vector" in said
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("CREATE EXTENSION vector")
        admin.execute("ALTER TABLE search_entry OWNER TO modest")
    async with searching(tmp_path, provider_of_meanings(), database_url=modest):
        pass
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute("DROP OWNED BY modest CASCADE")
        admin.execute("DROP ROLE modest")


async def test_tools_are_found_by_their_meaning_at_the_expense_of_who_searches(tmp_path: Path) -> None:
    upstream = provider_of_meanings()
    async with searching(tmp_path, upstream) as heddle:
        tool = {"name": "repair", "description": "Mend an automobile", "webhook_url": "https://example.com/"}
        (await heddle.http.post("/v1/tools", json=tool)).raise_for_status()
        key = await heddle.mint(end_user_id="ann")

        async def found() -> list[str]:
            headers = {"x-api-key": key["secret"]}
            body = {"intent": "my vehicle"}
            answer = await heddle.http.post("/v1/tools/search", json=body, headers=headers)
            return [one["name"] for one in answer.raise_for_status().json()["results"]]

        assert "repair" not in await found()  # no word of it is there, and the vectors are not made yet
        async with asyncio.timeout(30):
            while "repair" not in await found():
                await asyncio.sleep(0.02)
        assert set(await spent_for(heddle, "search_index")) == {(key["id"], None, "ok", COST)}
        assert set(await spent_for(heddle, "search_query")) == {(key["id"], "ann", "ok", COST)}
