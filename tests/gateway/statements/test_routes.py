"""``GET /v1/end-users/{id}/statement`` as an administrator asks for it."""

import asyncio
import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest

from gateway.statements.statement import Month
from gateway.statements.statements import Statements
from gateway.usage.events import UsageEvents
from kit.clock import ManualClock
from tests.gateway.usage.conftest import Call, Meters
from tests.gateway.usage.test_routes import an_account, call, settle
from tests.serving import Served

PATH = "/v1/end-users/user_1/statement"


@pytest.fixture
async def admin(served_heddle: Served) -> httpx.AsyncClient:
    client, _ = await served_heddle.mint(end_user_id="user_1")
    somebody_else, _ = await served_heddle.mint(end_user_id="user_2")
    await call(client)
    await call(client, "sim-large")
    await call(somebody_else)
    return await served_heddle.client()


async def test_a_statement_is_the_sum_of_the_end_users_calls(
    served_heddle: Served, admin: httpx.AsyncClient
) -> None:
    shown = (await admin.get(PATH)).json()
    assert shown["month"] == datetime.now(UTC).strftime("%Y-%m")
    assert (shown["end_user_id"], shown["calls"], shown["complete"]) == ("user_1", 2, False)
    assert {line["model"] for line in shown["lines"]} == {"sim-small", "sim-large"}
    assert {unit["unit"] for unit in shown["lines"][0]["units"]} >= {"input", "output"}
    usage = (await admin.get("/v1/usage", params={"end_user_id": "user_1"})).json()
    assert shown["cost_usd"] == usage["total_cost_usd"] == shown["total_usd"]
    before = (await admin.get(PATH, params={"month": "2020-01"})).json()
    assert (before["lines"], before["total_usd"], before["complete"]) == ([], "0", True)


async def test_every_form_has_the_same_total(admin: httpx.AsyncClient) -> None:
    shown = (await admin.get(PATH)).json()
    csv_answer = await admin.get(PATH, params={"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(csv_answer.text, newline="")))
    assert sum(Decimal(row["price_usd"]) for row in rows) == Decimal(shown["total_usd"])
    assert [int(row["calls"]) for row in rows] == [1, 1]
    page = await admin.get(PATH, params={"format": "html"})
    assert f"${shown['total_usd']}" in page.text
    assert "My account" in page.text
    file = await admin.get(PATH, params={"format": "pdf"})
    assert (file.headers["content-type"], file.content[:5]) == ("application/pdf", b"%PDF-")
    assert f'filename="statement-{shown["month"]}.pdf"' in file.headers["content-disposition"]


@pytest.mark.parametrize(
    ("params", "field"), [({"month": "November"}, "month"), ({"format": "xls"}, "format")]
)
async def test_what_is_wrong_is_named(sqlite_heddle: Served, params: dict[str, Any], field: str) -> None:
    answer = await (await sqlite_heddle.client()).get(PATH, params=params)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


async def test_another_accounts_end_user_has_nothing_here(
    served_heddle: Served, admin: httpx.AsyncClient
) -> None:
    stranger, payer = await an_account(served_heddle)
    await settle(served_heddle, payer, 5_000)
    path = "/v1/end-users/user_9/statement"
    assert (await admin.get(path)).json()["lines"] == []
    assert (await stranger.get(path)).json()["total_micros"] == 5
    assert (await stranger.get(PATH)).json()["lines"] == []


async def test_a_standard_key_gets_no_statement(sqlite_heddle: Served) -> None:
    client, _ = await sqlite_heddle.mint(end_user_id="user_1")
    answer = await client.get(PATH)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_required")


async def test_the_end_users_own_markup_makes_the_price_and_months_are_exact(meters: Meters) -> None:
    november = Month.named("2026-11")
    meter = await meters.new(november.from_ms - 1)
    asked: list[tuple[str, str]] = []

    async def markup(account_id: str, end_user_id: str) -> Decimal:
        asked.append((account_id, end_user_id))
        return Decimal("0.25")

    costs = [1_000, 3, 5, 7]
    for cost, at_ms in zip(
        costs, (november.from_ms - 1, november.from_ms, november.to_ms - 1, november.to_ms), strict=True
    ):
        meter.clocks[0].advance(seconds=(at_ms - meter.clocks[0].now_ms()) / 1000)
        await meter.settle(Call(end_user="user_1", cost=cost))
    statements = Statements(UsageEvents(meter.db), ManualClock(november.to_ms), markup=markup)
    made = await statements.of(meter.account_id, "user_1", november)
    assert (made.calls, made.cost_nanos, made.total_nanos, made.is_complete) == (2, 8, 10, True)
    assert asked == [(meter.account_id, "user_1")]


async def test_a_statement_of_very_many_calls_is_complete(meters: Meters) -> None:
    meter = await meters.new(Month.named("2026-11").from_ms)
    costs = range(1, 1_202)
    await asyncio.gather(*(meter.settle(Call(end_user="user_1", cost=cost)) for cost in costs))
    made = await Statements(UsageEvents(meter.db), meter.clocks[0]).of(meter.account_id, "user_1")
    assert (made.calls, made.cost_nanos) == (len(costs), sum(costs))
