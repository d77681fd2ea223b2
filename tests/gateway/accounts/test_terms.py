"""What holds for an account's calls: its own markup beside the installation's, and its mode."""

from decimal import Decimal

from gateway.accounts.models import Account
from gateway.accounts.terms import LIFETIME_MS, AccountTerms, Terms, set_markup
from kit.clock import ManualClock
from kit.db import Database
from tests.gateway.serving import Serving

USUAL = Decimal("0.07")


async def test_an_account_without_its_own_has_the_usual_one(db: Database, clock: ManualClock) -> None:
    accounts = [Account(id=name, name=name, created_at=1) for name in ("acct_a", "acct_b")]
    await db.write(lambda session: session.add_all([account.model_copy() for account in accounts]))
    twin = Account(id="acct_a_test", name="a", test_of="acct_a", created_at=1)
    await db.write(lambda session: session.add(twin.model_copy()))
    terms = AccountTerms(db, clock, usual_markup=USUAL)
    assert await set_markup(db, "acct_a", Decimal("0.25")) == "acct_a"
    assert [await terms.of(name) for name in ("acct_a", "acct_b", "nobody", "acct_a_test")] == [
        Terms(Decimal("0.25")),
        Terms(USUAL),
        Terms(USUAL),
        Terms(Decimal("0.25"), "test"),
    ]
    await set_markup(db, "acct_a", None)
    assert (await terms.of("acct_a")).markup == Decimal("0.25")
    clock.advance(seconds=LIFETIME_MS / 1000)
    assert (await terms.of("acct_a")).markup == (await terms.of("acct_a_test")).markup == USUAL


async def test_it_is_what_calls_and_models_are_priced_with(heddle: Serving) -> None:
    await set_markup(heddle.app.db, (await heddle.wallet()).account_id, Decimal(1))
    body = {"model": "sim-small", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}
    assert (await heddle.http.post("/v1/messages", json=body)).status_code == 200
    (event,) = await heddle.usage_events()
    assert event.breakdown[-1] == {"unit": "markup", "rate": "1"}
    assert event.cost_nanos == 2 * (event.input_tokens * 1_000 + event.output_tokens * 5_000)
    model = (await heddle.http.get("/v1/models/sim-small")).json()
    assert Decimal(model["pricing"]["input_per_mtok_usd"]) == 2
