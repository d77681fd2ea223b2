"""Tools that cost money: their prices, and each call's way through admission and settlement.

Invariants:
- a call under one charge id is debited at most once;
- it is debited together with what ``record`` writes of it, or not at all;
- every charge that was opened is settled, at nothing if that is what it came to, and its hold is gone then;
- play money pays for no tool: that would be called for real;
- what a turn has spent and what its running calls hold never passes its budget.
"""

import time
from collections.abc import Mapping
from decimal import Decimal

from broker.calls import ToolResult, ToolScope
from broker.metering import Payment, PriceOf, Record, TurnBudget
from gateway.accounts.terms import AccountTerms
from gateway.billing.billing import Billing
from gateway.billing.operations import Admitted, Budget, CallOutcome, Payer
from gateway.billing.prices import Cost, CostBound, ModelPrice, TokenUsage, UnitPrice, cost_of
from kit.errors import PermissionDenied
from kit.money import Nanos

CALL = "call"
"""The unit that a tool is billed by."""
PROVIDER = "tool"
"""What usage events of tools have in place of a provider."""
ALL = "*"
_ONE_CALL = TokenUsage(extras=((CALL, 1),))


class ToolPrices:
    """USD per call, without markup: of ``server/tool``, or of a server's other tools (``server/*``)."""

    def __init__(self, usd: Mapping[str, Decimal]) -> None:
        self._prices = {
            name: ModelPrice({CALL: UnitPrice(((0, each),))}) for name, each in usd.items() if each
        }
        self._free = {name for name, each in usd.items() if not each}

    @property
    def names(self) -> frozenset[str]:
        return frozenset({*self._prices, *self._free})

    def cost(self, tool: str, markup: Decimal) -> Cost | None:
        """Of one call; None if it costs nothing."""
        if tool in self._free:
            return None
        price = self._prices.get(tool) or self._prices.get(f"{tool.partition('/')[0]}/{ALL}")
        return None if price is None else cost_of(_ONE_CALL, price, markup)


class ToolMeter:
    """Implements ``broker.metering.ToolMeter`` on wallets, caps and budgets."""

    def __init__(self, prices: ToolPrices, billing: Billing, terms: AccountTerms) -> None:
        self._prices = prices
        self._billing = billing
        self._terms = terms

    @property
    def names(self) -> frozenset[str]:
        return self._prices.names

    async def prices(self, account_id: str) -> PriceOf:
        markup = (await self._terms.of(account_id)).markup

        def price_of(tool: str) -> int | None:
            cost = self._prices.cost(tool, markup)
            return None if cost is None else cost.nanos

        return price_of

    async def admit(self, scope: ToolScope, tool: str, payment: Payment) -> None:
        terms = await self._terms.of(scope.account_id)
        cost = self._prices.cost(tool, terms.markup)
        if cost is None:
            return
        if terms.mode == "test":
            raise PermissionDenied(
                f"{tool} costs real money: in test mode it is not called", code="live_key_required"
            )
        payer = Payer(scope.account_id, payment.key_id, scope.end_user_id, scope.thread_id, scope.turn_id)
        budget = payment.budget
        own = None
        if budget is not None:
            own = Budget(Nanos(budget.limit), Nanos(budget.spent() + budget.held))
            budget.held += cost.nanos
        try:
            admitted = await self._billing.admit(
                payment.charge_id,
                payer,
                CostBound(cost.nanos, Decimal(0), 0),
                budget=own,
                rated=payment.is_request,
            )
        except BaseException:
            if budget is not None:
                budget.held -= cost.nanos
            raise
        payment.charge = _Charge(self._billing, admitted, tool, cost, budget)


class _Charge:
    """Implements ``broker.metering.OpenCharge``."""

    def __init__(
        self, billing: Billing, admitted: Admitted, tool: str, cost: Cost, budget: TurnBudget | None
    ) -> None:
        self._billing = billing
        self._admitted = admitted
        self._tool = tool
        self._cost = cost
        self._budget = budget
        self._started = time.monotonic()

    async def settle(self, result: ToolResult, record: Record | None = None) -> int:
        code = str(result.record.get("status", "not_called")) if result.is_error else None
        status = "error" if result.is_error else "ok"
        outcome = self._outcome(status, 200 if result.answered else 502, code, paid=result.answered)
        return await self._end(outcome, record)

    async def cut_off(self, *, by_payer: bool, record: Record | None = None) -> int:
        return await self._end(self._outcome("cancelled", 499, "cut_off", paid=by_payer), record)

    async def _end(self, outcome: CallOutcome, record: Record | None) -> int:
        nanos = outcome.cost.nanos
        rider = None if record is None else lambda session: record(session, nanos)
        request_id, payer = self._admitted.request_id, self._admitted.payer
        try:
            await self._billing.settle(request_id, payer, outcome, rider=rider)
        except Exception:
            if record is not None:  # nothing may stay held for what was not recorded
                lost = self._outcome("error", 500, "not_recorded", paid=False)
                await self._billing.settle(request_id, payer, lost)
            raise
        finally:
            if self._budget is not None:  # once, also if an ending that was cancelled is followed by another
                self._budget.held -= self._cost.nanos
                self._budget = None
        return nanos

    def _outcome(self, status: str, http_status: int, code: str | None, *, paid: bool) -> CallOutcome:
        return CallOutcome(
            provider=PROVIDER,
            model="",
            status=status,
            http_status=http_status,
            cost=self._cost if paid else Cost(Nanos(0), []),
            error_code=code,
            latency_ms=round((time.monotonic() - self._started) * 1000),
            tool=self._tool,
        )
