"""Making automatic top-ups: a loop that is woken when a wallet runs low, and looks by itself now and then."""

import asyncio
import logging
from contextlib import suppress

from gateway.billing.stripe import auto_top_up
from gateway.billing.stripe.api import Declined, KeyRefused, StripeApi, StripeRefused, StripeUnreachable
from gateway.billing.stripe.auto_top_up import ATTEMPT
from gateway.billing.stripe.customers import Customers
from gateway.billing.stripe.models import AutoTopUp, AutoTopUpAttempt
from kit.clock import Clock
from kit.db import Database
from kit.errors import Conflict
from kit.money import Nanos

logger = logging.getLogger("heddle.stripe")

LOOK_EVERY_S = 30.0
AT_ONCE = 4


class AutoCharges:
    """``start`` it, tell it of settlements (``settled``), ``close`` it."""

    def __init__(self, db: Database, clock: Clock, api: StripeApi, customers: Customers) -> None:
        self._db = db
        self._clock = clock
        self._api = api
        self._customers = customers
        self._thresholds: dict[str, int] = {}
        self._low = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._places = asyncio.Semaphore(AT_ONCE)

    async def start(self) -> None:
        self._loop = asyncio.create_task(self._run())

    async def close(self) -> None:
        """A payment that is under way is left to the next start, under the same idempotency key."""
        if self._loop is not None:
            self._loop.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop

    def settled(self, account_id: str, free: Nanos) -> None:
        """A call was paid for. Costs a look into a dict unless the wallet fell below its threshold, and then
        once until the next look."""
        threshold = self._thresholds.get(account_id)
        if threshold is not None and free < threshold:
            del self._thresholds[account_id]
            self._low.set()

    async def switch_on(self, account_id: str, rule: auto_top_up.Rule) -> AutoTopUp:
        """Raises Conflict if the account has no saved payment method; StripeUnreachable, StripeRefused."""
        customer = await self._customers.find(account_id)
        if customer is None or await self._api.saved_payment_method(customer) is None:
            raise Conflict(
                "there is no saved payment method to charge: pay once through POST /v1/billing/checkout "
                "with save_payment_method: true",
                code="no_payment_method",
            )
        now = self._clock.now_ms()
        row = await self._db.write(lambda session: auto_top_up.switch_on(session, account_id, rule, now))
        self._low.set()
        return row

    async def switch_off(self, account_id: str) -> AutoTopUp | None:
        now = self._clock.now_ms()
        return await self._db.write(
            lambda session: auto_top_up.switch_off(session, account_id, "switched_off", now)
        )

    async def find(self, account_id: str) -> AutoTopUp | None:
        async with self._db.session() as session:
            return await session.get(AutoTopUp, account_id)

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:
                logger.exception("looking for due top-ups failed; it is done again in %s s", LOOK_EVERY_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._low.wait(), LOOK_EVERY_S)
            self._low.clear()

    async def look(self) -> None:
        """Make every payment that is due, several accounts at once; then learn the thresholds anew."""
        now = self._clock.now_ms()
        async with self._db.session() as session:
            due = (await session.exec(auto_top_up.due_accounts(now))).all()
        async with asyncio.TaskGroup() as group:
            for account_id in due:
                group.create_task(self._one(account_id))
        async with self._db.session() as session:
            self._thresholds = dict((await session.exec(auto_top_up.thresholds())).all())

    async def _one(self, account_id: str) -> None:
        async with self._places:
            try:
                now = self._clock.now_ms()
                attempt = await self._db.write(lambda session: auto_top_up.claim(session, account_id, now))
                if attempt is not None:
                    await self._charge(attempt)
            except Exception:
                logger.exception("the automatic top-up of %s failed; it is tried again", account_id)

    async def _charge(self, attempt: AutoTopUpAttempt) -> None:
        """Ask Stripe for the money and book the answer; its events say the same and change nothing more."""
        try:
            customer, payment_method = await self._payment_method(attempt)
            charge = await self._api.charge(
                customer_id=customer,
                payment_method=payment_method,
                cents=attempt.amount_cents,
                metadata={ATTEMPT: attempt.id, "heddle_account": attempt.account_id},
                key=attempt.id,
            )
        except Declined as decline:
            passing = auto_top_up.is_passing(decline.reason, decline.advice)
            await self._refuse(attempt, decline.reason, passing=passing)
        except (StripeUnreachable, KeyRefused) as error:
            logger.warning("automatic top-up of %s: %s", attempt.account_id, error.message)
            now = self._clock.now_ms()
            await self._db.write(lambda session: auto_top_up.try_again_later(session, attempt.id, now))
        except StripeRefused as error:
            logger.error("automatic top-up of %s: %s", attempt.account_id, error.message)
            await self._refuse(attempt, error.code, passing=False)
        else:
            if charge.status == "succeeded":
                now = self._clock.now_ms()
                await self._db.write(
                    lambda session: auto_top_up.succeed(
                        session,
                        attempt.id,
                        charge.payment_intent,
                        charge.received_cents,
                        charge.currency,
                        now,
                    )
                )
            elif charge.status == "processing":
                await self._db.write(lambda session: auto_top_up.wait_for_the_bank(session, attempt.id))
            else:
                await self._refuse(attempt, charge.status, passing=False)

    async def _payment_method(self, attempt: AutoTopUpAttempt) -> tuple[str, str]:
        """Raises Declined if there is none any more."""
        customer = await self._customers.find(attempt.account_id)
        if customer is None:
            raise Declined("no_payment_method")
        if attempt.payment_method is not None:
            return customer, attempt.payment_method
        found = await self._api.saved_payment_method(customer)
        if found is None:
            raise Declined("no_payment_method")
        await self._db.write(lambda session: auto_top_up.remember_payment_method(session, attempt.id, found))
        return customer, found

    async def _refuse(self, attempt: AutoTopUpAttempt, reason: str, *, passing: bool) -> None:
        now = self._clock.now_ms()
        await self._db.write(
            lambda session: auto_top_up.refuse(session, attempt.id, reason, passing=passing, now_ms=now)
        )
