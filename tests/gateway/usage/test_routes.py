"""``/v1/usage``, its events and its CSV, and the ledger's CSV, as an administrator sees them."""

import csv
import io
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlmodel import select

from gateway.accounts.keys import NewKey
from gateway.accounts.models import Account
from gateway.billing.models import UsageEvent, Wallet
from gateway.billing.operations import CallOutcome, Payer
from gateway.billing.prices import Cost, TokenUsage
from gateway.usage.schemas import EVENT_COLUMNS
from kit.ids import new_id
from kit.money import Nanos
from tests.serving import Served

EXPORTS = ["/v1/usage.csv", "/v1/billing/ledger.csv"]


async def call(client: httpx.AsyncClient, model: str = "sim-small") -> None:
    body = {"model": model, "max_tokens": 20, "messages": [{"role": "user", "content": "Hello"}]}
    (await client.post("/v1/messages", json=body)).raise_for_status()


async def settle(served: Served, payer: Payer, nanos: int, **outcome: Any) -> None:
    fields: dict[str, Any] = {"provider": "sim", "model": "sim-small", "status": "ok", "http_status": 200}
    fields |= {"usage": TokenUsage(input_tokens=3), "cost": Cost(Nanos(nanos), [])}
    await served.app.billing.settle(new_id("r"), payer, CallOutcome(**{**fields, **outcome}))


async def an_account(served: Served) -> tuple[httpx.AsyncClient, Payer]:
    """Another account: its administrator and somebody who pays."""
    account_id = new_id("acct")
    db = served.app.db
    await db.write(lambda session: session.add(Account(id=account_id, name="other", created_at=0)))
    await db.write(lambda session: session.add(Wallet(account_id=account_id)))
    await served.app.billing.credit(account_id, Nanos(10**12), kind="topup", entry_id="start", reference="x")
    row, secret = await served.app.keys.mint(account_id, NewKey("admin", "admin"))
    return await served.client(secret), Payer(account_id, row.id, "user_9")


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
async def admin(served_heddle: Served) -> AsyncIterator[httpx.AsyncClient]:
    yield await served_heddle.client()


async def test_usage_is_split_by_whatever_is_asked_for(
    served_heddle: Served, admin: httpx.AsyncClient
) -> None:
    one, key = await served_heddle.mint(end_user_id="user_1", name="one")
    other, _ = await served_heddle.mint()
    await call(one)
    await call(one, "sim-large")
    await call(other)
    usage = (await admin.get("/v1/usage")).json()
    assert usage["request_count"] == 3
    assert {"by_key", "by_model", "by_end_user", "by_tool"} <= usage.keys()
    assert {"by_day", "by_provider"}.isdisjoint(usage)
    of_key = next(row for row in usage["by_key"] if row["key_id"] == key["id"])
    assert (of_key["key_name"], of_key["key_prefix"]) == ("one", key["prefix"])
    assert of_key["request_count"] == 2
    assert sum(row["cost_micros"] for row in usage["by_model"]) == usage["total_cost_micros"] > 0
    assert {row["end_user_id"] for row in usage["by_end_user"]} == {"user_1", None}

    listed = (await admin.get("/v1/usage", params={"group_by": "day,provider"})).json()
    repeated = (await admin.get("/v1/usage", params={"group_by": ["day", "provider"]})).json()
    assert [row["request_count"] for row in listed["by_day"]] == [3]
    assert listed["by_day"] == repeated["by_day"]
    assert [row["provider"] for row in listed["by_provider"]] == ["sim"]
    assert "by_key" not in listed


@pytest.mark.parametrize(
    ("narrowed", "count"),
    [
        ({"key_id": "KEY"}, 2),
        ({"end_user_id": "user_1"}, 2),
        ({"model": "sim-large"}, 1),
        ({"provider": "sim"}, 3),
        ({"provider": "another"}, 0),
        ({"end_user_id": "user_1", "model": "sim-small"}, 1),
        ({"from_ms": 0, "to_ms": 1}, 0),
    ],
)
async def test_usage_is_narrowed(served_heddle: Served, narrowed: dict[str, Any], count: int) -> None:
    admin = await served_heddle.client()
    one, key = await served_heddle.mint(end_user_id="user_1")
    other, _ = await served_heddle.mint()
    await call(one)
    await call(one, "sim-large")
    await call(other)
    params = {name: key["id"] if value == "KEY" else value for name, value in narrowed.items()}
    assert (await admin.get("/v1/usage", params=params)).json()["request_count"] == count
    assert len((await admin.get("/v1/usage/events", params=params)).json()["data"]) == count
    assert len(rows_of((await admin.get("/v1/usage.csv", params=params)).text)) == count


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"group_by": "colour"}, "group_by"),
        ({"group_by": "key,"}, "group_by"),
        ({"from_ms": 2, "to_ms": 1}, "from_ms"),
        ({"from_ms": "yesterday"}, "from_ms"),
        ({"to_ms": -1}, "to_ms"),
        ({"to_ms": 2**60}, "to_ms"),
        ({"end_user_id": ""}, "end_user_id"),
        ({"model": "m" * 201}, "model"),
        ({"top": 0}, "top"),
    ],
)
async def test_what_is_wrong_with_a_question_is_named(
    sqlite_heddle: Served, params: dict[str, Any], field: str
) -> None:
    answer = await (await sqlite_heddle.client()).get("/v1/usage", params=params)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


async def test_an_event_of_a_tool_is_reported_under_its_tool(
    served_heddle: Served, admin: httpx.AsyncClient
) -> None:
    _, key = await served_heddle.mint()
    payer = Payer(await account_of(served_heddle), key["id"])
    await settle(served_heddle, payer, 5_000, tool="search", model="", provider="tool")
    await settle(served_heddle, payer, 1_000)
    usage = (await admin.get("/v1/usage")).json()
    assert [(row["tool"], row["cost_micros"]) for row in usage["by_tool"]] == [("search", 5)]
    assert usage["total_cost_micros"] == 6
    events = (await admin.get("/v1/usage/events")).json()["data"]
    assert {event["tool"] for event in events} == {"search", None}


async def account_of(served: Served) -> str:
    """The account of the administrator that tests use."""
    async with served.app.db.session() as session:
        return (await session.exec(select(Account.id))).one()


async def test_events_are_paged_newest_first(served_heddle: Served, admin: httpx.AsyncClient) -> None:
    client, _ = await served_heddle.mint()
    for _ in range(5):
        await call(client)
    seen: list[dict[str, Any]] = []
    cursor = None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        answer = (await admin.get("/v1/usage/events", params=params)).json()
        seen += answer["data"]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert len({event["id"] for event in seen}) == 5
    assert [event["created_at"] for event in seen] == sorted(
        (event["created_at"] for event in seen), reverse=True
    )


async def test_the_csv_has_every_event_once_whatever_its_size(
    served_heddle: Served, admin: httpx.AsyncClient
) -> None:
    account_id = await account_of(served_heddle)

    def fill(session: Any) -> None:
        for number in range(2_500):
            event = UsageEvent(
                id=f"e{number:05}",
                account_id=account_id,
                key_id="k",
                provider="sim",
                model="sim-small",
                status="ok",
                http_status=200,
                cost_nanos=number,
                created_at=1_800_000_000_000 + number // 7,
            )
            session.add(event)

    await served_heddle.app.db.write(fill)
    answer = await admin.get("/v1/usage.csv", params={"from_ms": 0, "to_ms": 1_900_000_000_000})
    assert answer.headers["content-type"].startswith("text/csv")
    assert 'filename="usage.csv"' in answer.headers["content-disposition"]
    rows = rows_of(answer.text)
    assert tuple(rows[0]) == EVENT_COLUMNS
    assert [row["id"] for row in rows] == [f"e{number:05}" for number in range(2_500)]
    assert sum(Decimal(row["cost_usd"]) for row in rows) == Decimal(sum(range(2_500))) / 10**9
    assert rows[0]["created_at"] == "2027-01-15T08:00:00.000Z"
    assert answer.text.count("\r\n") == 2_501


async def test_a_spreadsheet_runs_nothing_that_an_end_user_wrote(
    sqlite_heddle: Served,
) -> None:
    account_id = await account_of(sqlite_heddle)
    for end_user in ('=HYPERLINK("http://evil")', "@SUM(1)", 'a "quoted", name\nwith a line'):
        await settle(sqlite_heddle, Payer(account_id, "k", end_user), 1)
    admin = await sqlite_heddle.client()
    rows = rows_of((await admin.get("/v1/usage.csv")).text)
    assert sorted(row["end_user_id"] for row in rows) == [
        '\'=HYPERLINK("http://evil")',
        "'@SUM(1)",
        'a "quoted", name\nwith a line',
    ]
    ledger = rows_of((await admin.get("/v1/billing/ledger.csv")).text)
    assert {row["amount_usd"] for row in ledger[1:]} == {"-0.000000001"}


async def test_the_ledgers_csv_adds_up_to_the_balance(
    served_heddle: Served, admin: httpx.AsyncClient
) -> None:
    account_id = await account_of(served_heddle)
    for number in range(12):
        await settle(served_heddle, Payer(account_id, "k"), number + 1)
    rows = rows_of((await admin.get("/v1/billing/ledger.csv")).text)
    assert [int(row["seq"]) for row in rows] == list(range(1, 14))
    wallet = await served_heddle.app.billing.wallet(account_id)
    assert sum(Decimal(row["amount_usd"]) for row in rows) * 10**9 == wallet.balance_nanos
    listed = (await admin.get("/v1/billing/ledger", params={"limit": 100})).json()["data"]
    assert [entry["hash"] for entry in reversed(listed)] == [row["hash"] for row in rows]


async def test_another_accounts_usage_is_not_there(served_heddle: Served, admin: httpx.AsyncClient) -> None:
    stranger, payer = await an_account(served_heddle)
    await settle(served_heddle, payer, 5_000)
    params = {"key_id": payer.key_id}
    assert (await admin.get("/v1/usage", params=params)).json()["total_cost_micros"] == 0
    assert (await admin.get("/v1/usage/events", params={"end_user_id": "user_9"})).json()["data"] == []
    assert rows_of((await admin.get("/v1/usage.csv")).text) == []
    assert (await admin.get(f"/v1/keys/{payer.key_id}/usage")).status_code == 404
    assert (await stranger.get("/v1/usage", params=params)).json()["total_cost_micros"] == 5
    assert len(rows_of((await stranger.get("/v1/billing/ledger.csv")).text)) == 2


@pytest.mark.parametrize("path", ["/v1/usage", "/v1/usage/events", *EXPORTS])
async def test_a_standard_key_learns_nothing(sqlite_heddle: Served, path: str) -> None:
    client, _ = await sqlite_heddle.mint()
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_required")
