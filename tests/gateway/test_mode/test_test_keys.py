"""Minting test keys, and who may see and revoke them."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from gateway.accounts.keys import prefix_for
from gateway.accounts.models import Account
from gateway.accounts.twins import Twins
from gateway.billing.ledger import verify_account
from gateway.billing.models import Wallet
from gateway.cli import _with_account
from gateway.inference.providers import sim_provider
from gateway.migrations import migrate
from gateway.settings import BadSettings
from gateway.sim.server import sim_server
from kit.caller import Caller
from kit.clock import ManualClock
from kit.db import Database, parse_database_url
from kit.money import nanos_from_usd
from tests.gateway.serving import Serving, serving
from tests.serving import Served


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def mint(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/keys", json={"name": "k", **fields})
    assert answer.status_code == 201, answer.text
    minted: dict[str, Any] = answer.json()
    return minted


async def test_a_live_key_manages_the_test_keys_and_they_nothing_live(served_heddle: Served) -> None:
    live = await served_heddle.client()
    assert (await live.get("/v1/keys", params={"mode": "test"})).json()["data"] == []
    admin_key = await mint(live, mode="test", scope="admin")
    assert admin_key["secret"].startswith("ak_test_") and admin_key["prefix"] == admin_key["secret"][:12]
    live_key = await mint(live, mode="live")
    test = await served_heddle.client(admin_key["secret"])
    user_key = await mint(test)
    assert (admin_key["mode"], live_key["mode"], user_key["mode"]) == ("test", "live", "test")

    listed = (await live.get("/v1/keys", params={"mode": "test"})).json()["data"]
    assert [key["id"] for key in listed] == [user_key["id"], admin_key["id"]]
    assert {key["mode"] for key in listed} == {"test"}
    ordinary = (await live.get("/v1/keys")).json()["data"]
    assert live_key["id"] in {key["id"] for key in ordinary} and {key["mode"] for key in ordinary} == {"live"}
    assert (await test.get("/v1/keys")).json()["data"] == listed

    assert code(await test.get("/v1/keys", params={"mode": "live"})) == (403, "live_key_required")
    assert code(await test.post("/v1/keys", json={"name": "k", "mode": "live"})) == (403, "live_key_required")
    assert code(await test.delete(f"/v1/keys/{live_key['id']}")) == (404, "not_found")
    assert code(await test.patch(f"/v1/keys/{live_key['id']}", json={"name": "x"})) == (404, "not_found")

    edited = await live.patch(f"/v1/keys/{user_key['id']}", json={"name": "leaked"})
    assert (edited.json()["name"], edited.json()["mode"]) == ("leaked", "test")
    assert (await live.delete(f"/v1/keys/{user_key['id']}")).status_code == 200
    user = await served_heddle.client(user_key["secret"])
    assert code(await user.get("/v1/models")) == (401, "key_revoked")


async def test_every_answer_to_a_test_key_says_so(sqlite_heddle: Served) -> None:
    live = await sqlite_heddle.client()
    test = await sqlite_heddle.client((await mint(live, mode="test"))["secret"])
    for path in ("/v1/models", "/v1/threads/nowhere", "/v1/keys", "/v1/no-such-route"):
        assert (await test.get(path)).headers["x-heddle-mode"] == "test", path
        assert "x-heddle-mode" not in (await live.get(path)).headers
    hot = await test.post("/v1/messages", json={})
    assert (hot.status_code, hot.headers["x-heddle-mode"]) == (400, "test")
    page = await test.get("/v1/models", headers={"origin": "https://app.example.com"})
    assert "x-heddle-mode" in page.headers["access-control-expose-headers"].lower()


@pytest.mark.parametrize(
    ("configured", "prefix"),
    [("ak_live_", "ak_test_"), ("live_", "test_"), ("acme_", "acme_test_"), ("alive_live_", "alive_test_")],
)
def test_the_prefix_of_a_test_key(configured: str, prefix: str) -> None:
    assert prefix_for("test", configured) == prefix
    assert prefix_for("live", configured) == configured


async def test_the_account_decides_and_not_the_prefix(tmp_path: Path) -> None:
    async with serving(tmp_path / "test", bootstrap_admin_key="ak_test_" + "0" * 32) as heddle:
        live = {"x-api-key": "ak_test_" + "0" * 32}
        answer = await heddle.http.get("/v1/billing/balance", headers=live)
        assert (answer.json()["mode"], answer.json()["balance_usd"]) == ("live", "5")


async def test_without_the_simulated_provider_there_is_no_test_mode(tmp_path: Path) -> None:
    async with sim_server() as sim_url, serving(tmp_path) as heddle:
        secret = (await mint(heddle.http, mode="test", scope="admin"))["secret"]
    async with serving(tmp_path, {"sim": sim_provider(sim_url)}) as heddle:
        refused = await heddle.http.post("/v1/keys", json={"name": "k", "mode": "test"})
        assert code(refused) == (422, "test_mode_off") and "HEDDLE_SIM=off" in refused.text
        for method, path, body in (
            ("POST", "/v1/keys", {"name": "k"}),
            ("GET", "/v1/models", None),
            ("POST", "/v1/messages", {"model": "sim-small", "max_tokens": 9, "messages": []}),
        ):
            answer = await heddle.http.request(method, path, json=body, headers={"x-api-key": secret})
            assert code(answer) == (422, "test_mode_off"), path


async def test_processes_that_make_the_twin_at_once_make_one(database_url: str) -> None:
    migrate(parse_database_url(database_url))
    several = [Database(database_url) for _ in range(4)]
    clock = ManualClock()
    await several[0].write(lambda session: session.add(Account(id="acct_1", name="Weavers", created_at=1)))
    caller = Caller("acct_1", "key", "admin")

    async def make(db: Database) -> str | None:
        twins = Twins(db, clock, credit_usd=Decimal("12.5"), possible=True)
        return await twins.account_for(caller, "test", minting=True)

    made = await asyncio.gather(*(make(db) for db in several * 3))
    async with several[0].session() as session:
        (twin,) = (await session.exec(select(Account).where(Account.id != "acct_1"))).all()
        (wallet,) = (await session.exec(select(Wallet))).all()
    assert set(made) == {twin.id}
    assert (twin.test_of, twin.name, wallet.account_id) == ("acct_1", "Weavers (test)", twin.id)
    assert wallet.balance_nanos == nanos_from_usd(Decimal("12.5"))
    assert await several[0].write(lambda session: list(verify_account(session, twin.id))) == []
    for db in several:
        await db.close()


async def test_live_accounts_do_not_see_each_others_test_keys(heddle: Serving) -> None:
    await heddle.app.db.write(lambda session: session.add(Account(id="acct_2", name="B", created_at=2)))
    minted = await mint(heddle.http, mode="test")
    with pytest.raises(Exception, match="not found"):
        await heddle.app.twins.owner(Caller("acct_2", "key", "admin"), minted["id"])
    assert await heddle.app.twins.account_for(Caller("acct_2", "key", "admin"), "test") is None


async def test_the_command_line_leaves_test_accounts_alone(heddle: Serving) -> None:
    await mint(heddle.http, mode="test")
    async with heddle.app.db.session() as session:
        of = {account.mode: account.id for account in (await session.exec(select(Account))).all()}

    async def name(_db: Database, account: Account) -> str:
        return account.id

    assert await _with_account(heddle.app.settings, None, name) == of["live"]
    with pytest.raises(BadSettings, match=f"the test account of {of['live']}"):
        await _with_account(heddle.app.settings, of["test"], name)
