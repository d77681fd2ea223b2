"""Two thousand requests at a wallet that affords five hundred: over HTTP, with everything that goes wrong."""

import asyncio
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest
from sqlmodel import Session, col, func, select
from starlette.types import Send

from gateway.billing.ledger import verify_account
from gateway.billing.models import LedgerEntry, UsageEvent
from gateway.inference.providers import Provider
from gateway.loopback import served
from gateway.settings import ModelSettings
from tests.gateway.inference.upstream import Answer, BreakOff, Upstream, whole
from tests.gateway.serving import Serving, serving

REQUESTS, CONNECTIONS, AFFORDED = 2_000, 50, 500
PRICE_USD = Decimal("0.01")
MESSAGE = (
    b'{"id":"m","type":"message","role":"assistant","model":"m","content":[],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}'
)
BODY = {"model": "flat", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
FLAT = ModelSettings(
    provider="fake",
    input_usd_per_mtok=Decimal(0),
    output_usd_per_mtok=Decimal(0),
    unit_usd={"request": PRICE_USD},
)


def failing(source: random.Random) -> Answer:
    """Well, late, an error, or no answer at all."""
    well = whole(MESSAGE)

    async def answer(send: Send) -> None:
        lot = source.random()
        if lot < 0.1:
            await whole(b'{"error":{"message":"no"}}', 500)(send)
        elif lot < 0.2:
            raise BreakOff
        else:
            await asyncio.sleep(source.random() / 50 if lot < 0.9 else 0.3)
            await well(send)

    return answer


async def race(heddle: Serving, key: str, *, impatient: random.Random | None = None) -> Counter[int]:
    """Statuses of all requests; 0 for those whose client gave up."""
    statuses: Counter[int] = Counter()
    connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=60)
    async with aiohttp.ClientSession(
        heddle.base_url, connector=connector, headers={"x-api-key": key}
    ) as client:
        left = iter(range(REQUESTS))

        async def connection() -> None:
            for _ in left:
                patience_s = 0.15 if impatient is not None and impatient.random() < 0.3 else 60
                patience = aiohttp.ClientTimeout(total=patience_s)
                try:
                    async with client.post("/v1/messages", json=BODY, timeout=patience) as answer:
                        await answer.read()
                        statuses[answer.status] += 1
                except TimeoutError:
                    statuses[0] += 1

        await asyncio.gather(*(connection() for _ in range(CONNECTIONS)))
    return statuses


async def settled_books(heddle: Serving) -> tuple[int, int]:
    """Balance, and how many calls were paid, once nothing is held; the ledger must bear it out."""
    for _ in range(200):
        if not await heddle.holds():
            break
        await asyncio.sleep(0.05)
    wallet = await heddle.wallet()
    assert wallet.held_nanos == 0
    assert wallet.balance_nanos >= 0
    async with heddle.app.db.session() as session:
        total = (await session.exec(select(func.sum(LedgerEntry.amount_nanos)))).one()
        paid = (
            await session.exec(select(func.count()).where(col(UsageEvent.cost_nanos) == PRICE_USD * 10**9))
        ).one()
        odd = (
            await session.exec(
                select(func.count()).where(col(UsageEvent.cost_nanos).not_in([0, int(PRICE_USD * 10**9)]))
            )
        ).one()
        calls = (await session.exec(select(func.count(func.distinct(UsageEvent.id))))).one()
        rows = (await session.exec(select(func.count()).select_from(UsageEvent))).one()
    assert int(total) == wallet.balance_nanos
    assert (odd, calls) == (0, rows)

    def verify(session: Session) -> list[str]:
        return [fault.problem for fault in verify_account(session, wallet.account_id)]

    assert await heddle.app.db.write(verify) == []
    return wallet.balance_nanos, paid


@pytest.mark.parametrize("limited_by", ["wallet", "key cap", "end user's budget"])
async def test_exactly_what_is_afforded_succeeds(tmp_path: Path, limited_by: str) -> None:
    afforded = AFFORDED * PRICE_USD
    credit = afforded if limited_by == "wallet" else Decimal(1_000)
    async with served(lambda _: Upstream(whole(MESSAGE))) as url:
        behind = {"fake": Provider("fake", {"anthropic": url}, ("k",))}
        async with serving(
            tmp_path, behind, models={"flat": FLAT}, markup=Decimal(0), starter_credit_usd=credit
        ) as heddle:
            cap = {"max_spend_usd": str(afforded), "cap_period": "month"} if limited_by == "key cap" else {}
            key = await heddle.mint(end_user_id="ann", **cap)
            if limited_by == "end user's budget":
                budget = {"budget_usd": str(afforded), "budget_period": "day"}
                assert (await heddle.http.put("/v1/end-users/ann", json=budget)).status_code == 200
            statuses = await race(heddle, key["secret"])
            balance, paid = await settled_books(heddle)
    assert statuses == {200: AFFORDED, 402: REQUESTS - AFFORDED}
    assert (balance, paid) == (int((credit - afforded) * 10**9), AFFORDED)


async def test_failures_and_clients_that_leave_change_nothing_of_it(tmp_path: Path) -> None:
    """Whatever fails is not paid, whoever leaves has paid once, and the wallet is spent to the last cent."""
    source = random.Random(20261121)
    async with served(lambda _: Upstream(failing(source))) as url:
        behind = {"fake": Provider("fake", {"anthropic": url}, ("k",))}
        async with serving(
            tmp_path,
            behind,
            models={"flat": FLAT},
            markup=Decimal(0),
            max_tries=1,
            starter_credit_usd=AFFORDED * PRICE_USD,
        ) as heddle:
            key = await heddle.mint()
            statuses = await race(heddle, key["secret"], impatient=source)
            balance, paid = await settled_books(heddle)
    assert statuses[200] > 0
    assert statuses[402] > 0
    assert statuses[200] <= AFFORDED
    assert (balance, paid) == (0, AFFORDED)
    assert statuses.keys() <= {0, 200, 402, 502, 503}
