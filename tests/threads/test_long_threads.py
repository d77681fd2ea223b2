"""Threads that outgrow their model go on working, and cost what they must."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from gateway.billing.models import UsageEvent
from gateway.demo.webhook import WeatherHook, build_weather_hook
from gateway.inference.providers import Provider
from gateway.loopback import served
from gateway.settings import ModelSettings
from kit.db import Database
from kit.money import micros
from tests.serving import ADMIN_KEY, Served, heddle
from tests.threads.anthropic_cache import AnthropicWithCache, Body, Reply
from tests.threads.test_repair import check
from threads.context.history import copy_compaction, newest_compaction
from threads.models import Compaction, Thread

PRICES: dict[str, Any] = {
    "input_usd_per_mtok": 3,
    "output_usd_per_mtok": 15,
    "cache_read_usd_per_mtok": "0.3",
    "cache_write_usd_per_mtok": "3.75",
}
MODELS = {
    "large": ModelSettings(provider="anthropic", context_window=200_000, max_output_tokens=4_096, **PRICES),
    "small": ModelSettings(provider="anthropic", context_window=8_000, max_output_tokens=1_000, **PRICES),
    "scribe": ModelSettings(provider="anthropic", context_window=50_000, max_output_tokens=500, **PRICES),
    "dear": ModelSettings(
        provider="anthropic", context_window=50_000, input_usd_per_mtok=5_000, output_usd_per_mtok=5_000
    ),
}
WORDS = "The quick brown fox jumps over the lazy dog. "


@asynccontextmanager
async def rigged(
    url: str, data_dir: Path, reply: Callable[[Body], Reply]
) -> AsyncIterator[tuple[Served, AnthropicWithCache]]:
    upstream = AnthropicWithCache(reply)
    async with served(lambda _: upstream) as address:
        providers = {"anthropic": Provider("anthropic", {"anthropic": address}, ("k",))}
        async with heddle(url, data_dir, providers=providers, models=MODELS) as running:
            yield running, upstream


class Talk:
    """One thread of a fresh key."""

    def __init__(self, client: httpx.AsyncClient, thread_id: str) -> None:
        self.client = client
        self.path = f"/v1/threads/{thread_id}"

    @classmethod
    async def begin(cls, running: Served, *, spend_usd: float = 4, **thread: Any) -> "Talk":
        client, _ = await running.mint(max_spend_usd=spend_usd)
        made = (await client.post("/v1/threads", json=thread)).raise_for_status().json()
        return cls(client, made["id"])

    async def say(self, content: Any, model: str = "small", **more: Any) -> dict[str, Any]:
        body = {"model": model, "content": content, "max_tokens": 300, **more}
        answer = await self.client.post(f"{self.path}/messages", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def get(self, path: str = "", **params: Any) -> dict[str, Any]:
        answer = await self.client.get(self.path + path, params=params)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    async def context_of(self, turn: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = (await self.get(f"/turns/{turn['turn_id']}"))["context"]
        return found


async def usage_events(running: Served, talk: Talk) -> list[UsageEvent]:
    async with running.app.db.session() as session:
        query = select(UsageEvent).where(UsageEvent.thread_id == talk.path.rpartition("/")[2])
        return list((await session.exec(query.order_by(col(UsageEvent.created_at)))).all())


def text(words: str) -> Reply:
    return [{"type": "text", "text": words}]


def summarizes(body: Body) -> bool:
    return str(body["messages"][-1]["content"][-1].get("text")).endswith("Write the summary.")


def first_text(body: Body) -> str:
    found: str = body["messages"][0]["content"][0]["text"]
    return found


def cities(body: Body) -> Reply:
    """Ask for the weather as often as the user's last words say, then answer."""
    asked = [one for one in body["messages"] if one["role"] == "user"][-1]["content"]
    if asked[-1]["type"] == "tool_result":
        return text("It is " + WORDS * 3)
    calls = int(asked[-1]["text"].split()[0])
    place = len(body["messages"])
    return text("Let me see.") + [  # type: ignore[operator]
        {"type": "tool_use", "id": f"t{place}_{n}", "name": "get_weather", "input": {"city": "Oslo", "at": n}}
        for n in range(calls)
    ]


async def test_a_growing_thread_re_reads_itself_from_the_cache(sqlite_url: str, tmp_path: Path) -> None:
    """20 turns of two steps, with 2 to 14 calls at once: more blocks than the cache looks back over."""
    async with rigged(sqlite_url, tmp_path, cities) as (running, upstream):
        hook = WeatherHook()
        hook_url = await running.stack.enter_async_context(served(lambda _: build_weather_hook(hook)))
        schema = {"type": "object", "properties": {"city": {"type": "string"}, "at": {"type": "integer"}}}
        tool = {"name": "get_weather", "description": "Weather " + WORDS * 4, "input_schema": schema}
        admin = await running.client()
        made = await admin.post("/v1/tools", json={**tool, "webhook_url": f"{hook_url}/weather"})
        hook.secret = made.raise_for_status().json()["secret"]
        costs, shares = [], []
        for caching in (True, False):
            talk = await Talk.begin(running, context={"prompt_caching": caching})
            upstream.usages.clear()
            cost = 0
            for number in range(20):
                calls = 14 if number % 5 == 4 else 2
                asked = f"{calls} times, please. {WORDS * 8}"
                turn = await talk.say(asked, "large", tools=["get_weather"], system="Be kind. " + WORDS * 60)
                cost += turn["cost_micros"]
            totals = upstream.totals
            shares.append(totals["cache_read_input_tokens"] / sum(totals.values()))
            costs.append(cost)
            for body in upstream.seen:
                check(body["messages"])
        print(f"cached share {shares[0]:.3f}, cost {costs[0]} µUSD instead of {costs[1]}")
        assert shares[0] > 0.9 and shares[1] == 0
        assert costs[0] < 0.35 * costs[1]


async def test_a_thread_outgrows_its_model_and_goes_on(sqlite_url: str, tmp_path: Path) -> None:
    async with rigged(sqlite_url, tmp_path, lambda _: text(WORDS * 6)) as (running, upstream):
        talk = await Talk.begin(running)
        firsts = []
        for number in range(40):
            turn = await talk.say(f"{number}: {WORDS * 10}")
            firsts.append((await talk.context_of(turn))["first_seq"])
            check(upstream.seen[-1]["messages"])
            assert first_text(upstream.seen[-1]).startswith(f"{firsts[-1] // 2}: ")
        assert firsts == sorted(firsts) and firsts[-1] > 40
        assert len(set(firsts)) <= 6, "the cut moves seldom"
        everything = await talk.get("/messages", limit=100)
        assert len(everything["data"]) == 80 and everything["compaction"] is None
        # a larger model is shown all of it again
        await talk.say("And now?", "large")
        assert len(upstream.seen[-1]["messages"]) == 81

        too_large = {"model": "small", "content": WORDS * 3_000, "max_tokens": 300}
        refused = await talk.client.post(f"{talk.path}/messages", json=too_large)
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (413, "context_too_large", "content")
        assert error["context_window"] == 8_000 < error["input_tokens"]
        assert (await talk.get("/messages", order="desc", limit=1))["data"][0]["seq"] == 82  # taken back
        kept = {"model": "small", "content": "Hi", "context": {"policy": "none"}}
        assert (await talk.client.post(f"{talk.path}/messages", json=kept)).status_code == 413


def scribe(body: Body) -> Reply:
    if not summarizes(body):
        return text(WORDS * 6)
    asked = str(body["messages"][0]["content"])
    return text(f"They counted foxes{' again' if 'summary_so_far' in asked else ''}.")


async def test_the_older_part_is_summed_up_once_and_billed(database_url: str, tmp_path: Path) -> None:
    settings = {"policy": "compact", "model": "scribe"}
    async with rigged(database_url, tmp_path, scribe) as (running, upstream):
        talk = await Talk.begin(running, context=settings)
        for number in range(44):
            turn = await talk.say(f"{number}: {WORDS * 10}")
        summaries = [body for body in upstream.seen if summarizes(body)]
        assert len(upstream.seen) == 44 + len(summaries) and len(summaries) == 3
        assert {body["model"] for body in summaries} == {"scribe"}
        assert "They counted foxes." in str(summaries[1]["messages"])

        found = (await talk.get("/messages", limit=100))["compaction"]
        thread = await talk.get()
        assert thread["compaction"] == found and thread["context"] == settings
        assert found["summary"] == "They counted foxes again."
        context = await talk.context_of(turn)
        assert context["summarized_through_seq"] == found["summarized_through_seq"]
        assert context["first_seq"] == found["summarized_through_seq"] + 1
        sent = upstream.seen[-1]["messages"]
        check(sent)
        assert found["summary"] in first_text(upstream.seen[-1])
        assert len(sent) == 87 - found["summarized_through_seq"]
        assert len((await talk.get("/messages", limit=100))["data"]) == 88  # as they were said

        events = await usage_events(running, talk)
        made = [event for event in events if ":compaction:" in event.id]
        assert len(events) == 44 + 3
        assert [event.id for event in made] == [f"{event.turn_id}:compaction:1" for event in made]
        turns = (await talk.get("/turns", limit=100))["data"]
        for one in turns:
            spent = sum(event.cost_nanos for event in events if event.turn_id == one["id"])
            assert one["cost_micros"] == micros(spent)
        assert found["cost_micros"] == micros(made[-1].cost_nanos)


@pytest.mark.parametrize(("model", "code"), [("large", "provider_refused"), ("dear", "key_cap_reached")])
async def test_without_a_summary_the_oldest_is_left_out(
    sqlite_url: str, tmp_path: Path, model: str, code: str
) -> None:
    def refuses(body: Body) -> Reply:
        return 400 if summarizes(body) else text(WORDS * 6)

    async with rigged(sqlite_url, tmp_path, refuses) as (running, upstream):
        talk = await Talk.begin(running, context={"policy": "compact", "model": model})
        for number in range(36):
            turn = await talk.say(f"{number}: {WORDS * 10}")
            check(upstream.seen[-1]["messages"])
        context = await talk.context_of(turn)
        assert code in context["notes"][0] and context["first_seq"] > 1
        assert (await talk.get())["compaction"] is None
        tried = [event for event in await usage_events(running, talk) if ":compaction:" in event.id]
        assert all(event.cost_nanos == 0 for event in tried)


async def test_a_summary_outlives_the_process_that_made_it(sqlite_url: str, tmp_path: Path) -> None:
    """It stops between the summary and the step that would have used it."""
    reached = asyncio.Event()

    def stopping(body: Body) -> Reply:
        if any(map(summarizes, upstream.seen)) and not summarizes(body):
            reached.set()
            return 529
        return scribe(body)

    async with rigged(sqlite_url, tmp_path, stopping) as (running, upstream):
        talk = await Talk.begin(running, context={"policy": "compact"})
        for number in range(9):
            await talk.say(f"{number}: {WORDS * 10}")
        body = {"model": "small", "content": "9: " + WORDS * 280, "max_tokens": 300, "background": True}
        asked = asyncio.create_task(talk.client.post(f"{talk.path}/messages", json=body))
        await asyncio.wait_for(reached.wait(), 20)
        await running.app.engine.close()  # as a shutdown does, while the provider is asked again
        await asyncio.wait([asked])
    async with rigged(sqlite_url, tmp_path, scribe) as (running, again):
        client = httpx.AsyncClient(base_url=running.url, headers={"x-api-key": ADMIN_KEY})
        talk = Talk(await running.stack.enter_async_context(client), talk.path.rpartition("/")[2])
        for _ in range(200):
            newest = (await talk.get("/turns", limit=1))["data"][0]
            if newest["status"] != "running":
                break
            await asyncio.sleep(0.02)
        assert newest["status"] == "completed"
        assert not any(map(summarizes, again.seen)) and "They counted foxes." in first_text(again.seen[-1])
        made = [event for event in await usage_events(running, talk) if ":compaction:" in event.id]
        assert len(made) == 1 and made[0].status == "ok"


async def test_a_fork_takes_the_summary_along_that_it_may_know(db: Database) -> None:
    def rows(session: Any) -> None:
        for name in ("old", "fork"):
            session.add(Thread(id=name, account_id="a", key_id="k", created_at=0, last_active_at=0))
        session.flush()
        for seq in (4, 8):
            session.add(
                Compaction(
                    id=str(seq), account_id="a", thread_id="old", through_seq=seq, summary=f"to {seq}",
                    created_at=0,
                )
            )  # fmt: skip
        session.flush()
        copy_compaction(session, "old", "fork", 7)

    await db.write(rows)
    taken = await newest_compaction(db, "fork")
    assert taken is not None and (taken.summary, taken.through_seq, taken.cost_nanos) == ("to 4", 4, 0)
    await db.write(lambda session: session.delete(session.get(Thread, "old")))
    assert await newest_compaction(db, "old") is None


async def test_a_bad_setting_is_named(sqlite_heddle: Served) -> None:
    talk = await Talk.begin(sqlite_heddle)
    for context, param in (
        ("truncate", "context"),
        ({"policy": "forget"}, "context.policy"),
        ({"max_input_tokens": 0}, "context.max_input_tokens"),
        ({"compact_threshold": "many"}, "context.compact_threshold"),
        ({"retention_ratio": 2}, "context.retention_ratio"),
        ({"model": 7}, "context.model"),
        ({"instructions": " "}, "context.instructions"),
        ({"prompt_caching": "auto"}, "context.prompt_caching"),
    ):
        body = {"model": "sim-small", "content": "Hi", "context": context}
        refused = await talk.client.post(f"{talk.path}/messages", json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    unknown = {"model": "sim-small", "content": "Hi", "context": {"policy": "compact", "model": "nobody"}}
    assert (await talk.client.post(f"{talk.path}/messages", json=unknown)).status_code == 404
    changed = await talk.client.patch(talk.path, json={"context": {"policy": "none"}})
    assert changed.json()["context"] == (await talk.get())["context"] == {"policy": "none"}
