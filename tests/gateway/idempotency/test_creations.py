"""What is made under an idempotency key is made once; its secret is shown again to the same key alone."""

import asyncio

from sqlmodel import select, update

from gateway.idempotency.models import IdempotencyRecord
from tests.gateway.serving import Serving, heddle
from vault.models import Secret

__all__ = ["heddle"]

KEY = {"idempotency-key": "order-7"}


async def test_an_api_key_is_minted_once_and_its_secret_is_for_whoever_asked(heddle: Serving) -> None:
    body = {"name": "till"}
    minted = await heddle.http.post("/v1/keys", json=body, headers=KEY)
    again = await heddle.http.post("/v1/keys", json=body, headers=KEY)
    assert (minted.status_code, again.status_code) == (201, 201)
    assert again.json() == minted.json()
    assert again.headers["idempotent-replayed"] == "true"
    names = [key["name"] for key in (await heddle.http.get("/v1/keys")).json()["data"]]
    assert names.count("till") == 1
    standard = {**KEY, "x-api-key": minted.json()["secret"]}
    curious = await heddle.http.post("/v1/keys", json=body, headers=standard)
    assert (curious.status_code, curious.json()["error"]["code"]) == (403, "admin_required")
    async with heddle.app.db.session() as session:
        stored = (await session.exec(select(Secret).where(Secret.purpose == "idempotent answer"))).one()
    assert minted.json()["secret"].encode() not in stored.sealed


async def test_of_many_at_once_one_makes_it(heddle: Serving) -> None:
    async def create() -> int:
        answer = await heddle.http.post("/v1/threads", json={"metadata": {"a": 1}}, headers=KEY)
        return answer.status_code

    statuses = await asyncio.gather(*(create() for _ in range(20)))
    assert set(statuses) <= {201, 409}
    assert await create() == 201
    threads = (await heddle.http.get("/v1/threads")).json()["data"]
    assert len(threads) == 1
    tool = {"name": "weather", "webhook_url": "https://example.com/hook"}
    tools = [await heddle.http.post("/v1/tools", json=tool, headers={"idempotency-key": "t"}) for _ in "ab"]
    assert tools[0].json()["secret"] == tools[1].json()["secret"]
    taken = await heddle.http.post("/v1/tools", json=tool, headers={"idempotency-key": "another"})
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "name_taken")


async def test_after_a_crash_a_key_is_not_minted_again_and_the_refusal_says_what_to_do(
    heddle: Serving,
) -> None:
    minted = await heddle.http.post("/v1/keys", json={"name": "till"}, headers=KEY)
    thread = await heddle.http.post("/v1/threads", json={}, headers={"idempotency-key": "t"})
    died = update(IdempotencyRecord).values(state="running", lease_until=0, answer_id=None)
    await heddle.app.db.write(lambda session: session.exec(died))
    again = await heddle.http.post("/v1/keys", json={"name": "till"}, headers=KEY)
    error = again.json()["error"]
    assert (again.status_code, error["code"]) == (409, "idempotency_outcome_unknown")
    assert "look before you send it again" in error["message"]
    assert len((await heddle.http.get("/v1/keys")).json()["data"]) == 2
    assert minted.status_code == 201
    another = await heddle.http.post("/v1/threads", json={}, headers={"idempotency-key": "t"})
    assert (another.status_code, another.json()["id"] == thread.json()["id"]) == (201, False)
