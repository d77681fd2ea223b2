"""The operator's own credit: a token of its own, once per idempotency key."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import select

from gateway.accounts.models import Account
from tests.gateway.serving import Serving, serving

PATH = "/v1/billing/credits"
TOKEN = "operator-token-0123456789"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(tmp_path, operator_token=TOKEN, starter_credit_usd=0) as running:
        yield running


async def account_id(house: Serving) -> str:
    async with house.app.db.session() as session:
        return (await session.exec(select(Account.id))).one()


async def grant(house: Serving, key: str | None = "invoice-7", **fields: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {TOKEN}", "x-api-key": ""}
    if key is not None:
        headers["idempotency-key"] = key
    body = {"account_id": await account_id(house), "amount_usd": "25.5", **fields}
    return await house.http.post(PATH, json=body, headers=headers)


async def test_a_credit_is_booked_once_per_key(house: Serving) -> None:
    answers = await asyncio.gather(*(grant(house) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert sorted(answer.json()["replayed"] for answer in answers) == [False, True, True, True, True]
    assert (await house.wallet()).balance_nanos == 25_500_000_000
    entries = (await house.http.get("/v1/billing/ledger")).json()["data"]
    assert [(entry["entry_id"], entry["kind"]) for entry in entries] == [("credit:invoice-7", "credit")]


async def test_the_same_key_for_another_amount_is_a_conflict(house: Serving) -> None:
    await grant(house)
    other = await grant(house, amount_usd=26)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_mismatch")
    assert (await house.wallet()).balance_nanos == 25_500_000_000


@pytest.mark.parametrize("amount", [-1, 0, "NaN", "1e3", 1_000_001, "0.0000000001", None, True, [5]])
async def test_a_bad_amount_is_refused(house: Serving, amount: Any) -> None:
    answer = await grant(house, amount_usd=amount)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "amount_usd")
    assert (await house.wallet()).balance_nanos == 0


@pytest.mark.parametrize("key", [None, "k" * 256])
async def test_a_credit_needs_a_key(house: Serving, key: str | None) -> None:
    answer = await grant(house, key)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "idempotency-key")


async def test_an_unknown_account_is_not_found(house: Serving) -> None:
    answer = await grant(house, account_id="acct_unknown")
    assert answer.status_code == 404


@pytest.mark.parametrize("body", [b"{", b"[]", b"7"])
async def test_a_body_that_is_no_object_is_refused(house: Serving, body: bytes) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "idempotency-key": "k"}
    answer = await house.http.post(PATH, content=body, headers=headers)
    assert answer.status_code == 400, answer.text


async def test_an_accounts_own_admin_key_does_not_do(house: Serving) -> None:
    answer = await house.http.post(PATH, json={})
    assert answer.status_code == 401
    wrong = await house.http.post(PATH, json={}, headers={"authorization": "Bearer wrong"})
    assert wrong.status_code == 401


async def test_without_an_operator_token_there_is_no_such_route(tmp_path: Path) -> None:
    async with serving(tmp_path) as plain:
        answer = await plain.http.post(PATH, json={}, headers={"authorization": f"Bearer {TOKEN}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_such_route")
