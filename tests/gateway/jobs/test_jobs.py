"""Jobs: run in the background under their key, paid once, kept sealed, and found by nobody else."""

import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, select

from gateway.billing.models import Hold, UsageEvent, Wallet
from gateway.inference.providers import Provider, sim_provider
from gateway.jobs.models import Job, run_id_of
from gateway.jobs.queue import JobQueue
from gateway.settings import ModelSettings
from gateway.sim.server import sim_server
from kit.money import micros
from kit.outbox import OutboxEvent
from tests.serving import Served, heddle
from vault.models import Secret

HI = {"model": "sim-small", "max_tokens": 20, "messages": [{"role": "user", "content": "hi"}]}
MODELS = {
    "embed": ModelSettings(provider="vendor", input_usd_per_mtok=Decimal(1)),
    "draw": ModelSettings(provider="vendor", unit_usd={"image": Decimal("0.04")}),
    "say": ModelSettings(provider="vendor", unit_usd={"input_character": Decimal("0.00001")}),
}
SLOW = {**HI, "messages": [{"role": "user", "content": "[sim: latency=30s] hi"}]}


@asynccontextmanager
async def served(url: str, folder: Path, **settings: Any) -> AsyncIterator[Served]:
    async with heddle(url, folder, **settings) as served:
        yield served


async def ask(client: httpx.AsyncClient, endpoint: str, body: dict[str, Any], **fields: Any) -> str:
    answer = await client.post("/v1/jobs", json={"endpoint": endpoint, "body": body, **fields})
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["object"] == "job"
    assert job["status"] in ("queued", "running")  # it may have been taken in the same commit
    return str(job["id"])


async def until(client: httpx.AsyncClient, job_id: str, *statuses: str) -> dict[str, Any]:
    async with asyncio.timeout(15):
        while True:
            job: dict[str, Any] = (await client.get(f"/v1/jobs/{job_id}")).raise_for_status().json()
            if job["status"] in statuses:
                return job
            await asyncio.sleep(0.02)


async def ended(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    return await until(client, job_id, "completed", "failed", "cancelled")


async def rows(heddle: Served, query: Any) -> list[Any]:
    async with heddle.app.db.session() as session:
        return list((await session.exec(query)).all())


def process(name: str, queue: JobQueue) -> JobQueue:
    """The queue as another process sees it."""
    other = copy.copy(queue)
    other.owner = name
    return other


@pytest.fixture
async def open_heddle(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Served]:
    async with sim_server() as sim_url:
        media = Provider("vendor", {"openai-chat": f"{sim_url}/as/openai/v1"}, ("k",))
        providers = {"sim": sim_provider(sim_url), "vendor": media}
        async with served(sqlite_url, tmp_path, providers=providers, models=MODELS) as one:
            yield one


async def test_every_inference_route_runs_as_a_job_and_is_paid_once(open_heddle: Served) -> None:
    client, key = await open_heddle.mint()
    asked: dict[str, dict[str, Any]] = {
        "/v1/messages": HI,
        "/v1/chat/completions": HI,
        "/v1/responses": {"model": "sim-small", "input": "hi", "max_output_tokens": 20},
        "/v1/embeddings": {"model": "embed", "input": "hi"},
        "/v1/images/generations": {"model": "draw", "prompt": "a loom"},
        "/v1/audio/speech": {"model": "say", "input": "Hello", "voice": "alloy"},
    }
    ids = {path: await ask(client, path, body, metadata={"n": path}) for path, body in asked.items()}
    jobs = {path: await ended(client, job_id) for path, job_id in ids.items()}
    assert {path: (job["status"], job["error"]) for path, job in jobs.items()} == dict.fromkeys(
        asked, ("completed", None)
    )
    assert jobs["/v1/messages"]["result"]["body"]["content"][0]["text"]
    assert jobs["/v1/chat/completions"]["result"]["body"]["choices"][0]["message"]["content"]
    assert jobs["/v1/embeddings"]["result"]["body"]["data"][0]["embedding"]
    speech = jobs["/v1/audio/speech"]["result"]
    assert speech["body"] is None
    content = await client.get(speech["content_url"])
    assert (content.headers["content-type"], len(content.content)) == (
        speech["content_type"],
        speech["bytes"],
    )
    assert speech["bytes"] > 100

    events = await rows(open_heddle, select(UsageEvent))
    costs = {event.id: event.cost_nanos for event in events}
    assert costs.keys() == {run_id_of(job_id, 1) for job_id in ids.values()}
    assert {event.key_id for event in events} == {key["id"]}
    for path, job in jobs.items():
        cost = micros(costs[run_id_of(ids[path], 1)])
        assert (job["cost_micros"], job["attempts"], job["metadata"]) == (cost, 1, {"n": path})
    told = await rows(open_heddle, select(OutboxEvent).where(col(OutboxEvent.type).like("job.%")))
    assert sorted(event.data["id"] for event in told) == sorted(ids.values())
    assert {event.type for event in told} == {"job.completed"}

    listed = (await client.get("/v1/jobs", params={"limit": 4, "status": "completed"})).json()
    rest = (await client.get("/v1/jobs", params={"limit": 4, "cursor": listed["next_cursor"]})).json()
    assert [job["id"] for job in [*listed["data"], *rest["data"]]] == sorted(ids.values(), reverse=True)
    assert (await client.get("/v1/jobs", params={"status": "failed"})).json()["data"] == []


async def test_a_job_is_its_tenants_own_and_what_it_said_is_sealed(open_heddle: Served) -> None:
    client, _ = await open_heddle.mint(end_user_id="ann")
    other, _ = await open_heddle.mint(end_user_id="bob")
    whole, _ = await open_heddle.mint()
    said = {**HI, "messages": [{"role": "user", "content": "say [sim: words=3] the canary kingfisher"}]}
    job_id = await ask(client, "/v1/messages", said)
    assert (await ended(client, job_id))["end_user_id"] == "ann"
    assert (await whole.get(f"/v1/jobs/{job_id}")).status_code == 200
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        assert (await other.request(method, f"/v1/jobs/{job_id}{path}")).status_code == 404
    assert (await other.get("/v1/jobs")).json()["data"] == []
    (job,) = await rows(open_heddle, select(Job))
    assert "kingfisher" not in repr(job)
    sealed = await rows(open_heddle, select(Secret).where(Secret.owner == job_id))
    assert [secret.purpose for secret in sealed] == ["job answer"]  # the request has gone

    queue = open_heddle.app.jobs.queue
    assert await queue.purge(keep_ms=60_000) == 0
    assert await queue.purge(keep_ms=0) == 1
    assert (await client.get(f"/v1/jobs/{job_id}")).status_code == 404
    assert await rows(open_heddle, select(Secret).where(Secret.owner == job_id)) == []


UNFIT: list[tuple[str, dict[str, Any]]] = [
    ("endpoint", {"endpoint": "/v1/threads", "body": {}}),
    ("body", {"endpoint": "/v1/messages"}),
    ("body", {"endpoint": "/v1/messages", "body": {**HI, "stream": True}}),
    ("body", {"endpoint": "/v1/responses", "body": {"input": "hi", "background": True}}),
    ("max_attempts", {"endpoint": "/v1/messages", "body": HI, "max_attempts": 0}),
    ("metadata", {"endpoint": "/v1/messages", "body": HI, "metadata": []}),
]


async def test_a_refusal_is_the_jobs_error_and_a_repeat_is_the_same_job(open_heddle: Served) -> None:
    client, _ = await open_heddle.mint()
    for named, body in UNFIT:
        answer = await client.post("/v1/jobs", json=body)
        assert (answer.status_code in (400, 422), answer.json()["error"]["param"]) == (True, named)
    assert (await client.get("/v1/jobs")).json()["data"] == []

    failed = await ended(client, await ask(client, "/v1/messages", {**HI, "model": "no-such-model"}))
    assert (failed["status"], failed["error"]["status"], failed["result"]) == ("failed", 404, None)
    broken = {**HI, "messages": [{"role": "user", "content": "[sim: status=400] hi"}]}
    refused = await ended(client, await ask(client, "/v1/messages", broken))
    assert (refused["error"]["status"], refused["error"]["code"]) == (400, "provider_refused")
    poor, _ = await open_heddle.mint(max_spend_usd=0)
    unpaid = await ended(poor, await ask(poor, "/v1/messages", HI))
    assert (unpaid["error"]["status"], unpaid["error"]["code"]) == (402, "key_cap_reached")

    asked = {"endpoint": "/v1/messages", "body": HI}
    first, again = [
        (await client.post("/v1/jobs", json=asked, headers={"idempotency-key": "one"})).json()
        for _ in range(2)
    ]
    assert first["id"] == again["id"]


async def test_cancelling_ends_a_job_and_bills_what_was_used(sqlite_url: str, tmp_path: Path) -> None:
    async with served(sqlite_url, tmp_path, max_running_jobs=1) as open_heddle:
        client, _ = await open_heddle.mint()
        running = await ask(client, "/v1/messages", SLOW)
        waiting = await ask(client, "/v1/messages", SLOW)
        await until(client, running, "running")
        async with asyncio.timeout(5):
            while not await rows(open_heddle, select(Hold)):
                await asyncio.sleep(0.01)
        assert (await client.delete(f"/v1/jobs/{waiting}")).json()["status"] == "cancelled"
        await client.delete(f"/v1/jobs/{running}")
        stopped = await ended(client, running)
        assert (stopped["status"], stopped["result"]) == ("cancelled", None)
        assert (await client.delete(f"/v1/jobs/{running}")).json()["status"] == "cancelled"
        (event,) = await rows(open_heddle, select(UsageEvent))
        assert (event.status, event.cost_nanos > 0) == ("cancelled", True)
        assert await rows(open_heddle, select(Hold)) == []


async def test_accounts_take_turns(sqlite_url: str, tmp_path: Path) -> None:
    """However many jobs one account has waiting, another's first is next."""
    async with served(sqlite_url, tmp_path) as open_heddle:
        client, _ = await open_heddle.mint()
        tester, _ = await open_heddle.mint(mode="test")  # its account is another
        jobs = open_heddle.app.jobs
        await jobs.runner.close()
        waiting = [await ask(client, "/v1/messages", HI) for _ in range(3)]
        theirs = await ask(tester, "/v1/messages", HI)
        taken = [(await jobs.queue.take(1))[0].id for _ in range(4)]
        assert taken == [waiting[0], theirs, waiting[1], waiting[2]]
        assert await jobs.queue.take(1) == []


async def test_a_job_outlives_its_process_and_is_paid_once(database_url: str, tmp_path: Path) -> None:
    """One is cut off by a shutdown, which costs nothing; one by a death, and only so often."""
    async with served(database_url, tmp_path) as first:
        client, key = await first.mint()
        slow = {**HI, "messages": [{"role": "user", "content": "[sim: latency=2s] hi"}]}
        handed_over = await ask(client, "/v1/messages", slow)
        await until(client, handed_over, "running")
        async with asyncio.timeout(5):
            while not await rows(first, select(Hold)):
                await asyncio.sleep(0.01)
    async with served(database_url, tmp_path) as second:
        client = await second.client(key["secret"])
        job = await ended(client, handed_over)
        assert (job["status"], job["attempts"], job["interruptions"]) == ("completed", 2, 0)
        events = {event.id: event for event in await rows(second, select(UsageEvent))}
        assert events[run_id_of(handed_over, 1)].cost_nanos == 0
        assert events[run_id_of(handed_over, 2)].cost_nanos > 0

        app = second.app
        await app.jobs.runner.close()
        doomed = await ask(client, "/v1/messages", HI, max_attempts=2)
        dead, alive = process("dead", app.jobs.queue), process("alive", app.jobs.queue)
        for interruptions, status in ((1, "queued"), (2, "failed")):
            assert [job.id for job in await dead.take(5)] == [doomed]
            assert await alive.take_over(alone=False) == 0  # its lease has time left
            assert await alive.take_over(alone=True) == 1
            job = (await client.get(f"/v1/jobs/{doomed}")).json()
            assert (job["status"], job["interruptions"]) == (status, interruptions)
        assert job["error"]["code"] == "job_interrupted"
        assert job["cost_micros"] == 0


async def test_of_two_runs_of_a_job_only_the_first_answer_is_kept_and_paid(
    sqlite_url: str, tmp_path: Path
) -> None:
    """A process that was only paused goes on although another has taken its job over."""
    async with served(sqlite_url, tmp_path) as open_heddle:
        client, _ = await open_heddle.mint()
        slow = {**HI, "messages": [{"role": "user", "content": "[sim: latency=1s] hi"}]}
        job_id = await ask(client, "/v1/messages", slow)
        await until(client, job_id, "running")
        app = open_heddle.app
        other = process("other", app.jobs.queue)
        assert await other.take_over(alone=True) == 1
        app.jobs.runner.look()
        job = await ended(client, job_id)
        assert (job["status"], job["interruptions"]) == ("completed", 1)
        async with asyncio.timeout(10):
            while app.jobs.runner.running:
                await asyncio.sleep(0.05)
        paid = [event for event in await rows(open_heddle, select(UsageEvent)) if event.cost_nanos]
        assert len(paid) == 1
        wallet = (await rows(open_heddle, select(Wallet)))[0]
        assert wallet.held_nanos == 0
        assert len(await rows(open_heddle, select(Secret).where(Secret.owner == job_id))) == 1
