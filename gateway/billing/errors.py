"""Refusals at admission: HTTP 402 for money, 429 for rates. Nothing was sent upstream."""

import math

from gateway.billing.rates import RateStatus
from kit.errors import PaymentRequired, RateLimited
from kit.money import micros, usd_text


class WalletEmpty(PaymentRequired):
    """The wallet does not cover the call's input."""

    def __init__(self, *, needed: int, balance: int, held: int) -> None:
        self.needed_nanos = needed
        super().__init__(
            f"the wallet does not cover this call: it needs {usd_text(needed)} USD at least, "
            f"{usd_text(balance - held)} USD is free ({usd_text(held)} USD is held by running calls)",
            code="wallet_empty",
            details={
                "needed_micros": micros(needed),
                "balance_micros": micros(balance),
                "held_micros": micros(held),
            },
        )


class KeyCapReached(PaymentRequired):
    """The key's spending cap does not cover the call's input."""

    def __init__(self, *, needed: int, cap: int, spent: int, held: int, resets_at: int | None) -> None:
        self.needed_nanos = needed
        super().__init__(
            f"the key's cap of {usd_text(cap)} USD does not cover this call: {usd_text(spent)} USD is spent, "
            f"{usd_text(held)} USD is held by running calls, {usd_text(needed)} USD is needed at least",
            code="key_cap_reached",
            details={
                "cap_micros": micros(cap),
                "spent_micros": micros(spent),
                "held_micros": micros(held),
                "needed_micros": micros(needed),
                "resets_at": resets_at,
            },
        )


class TurnBudgetReached(PaymentRequired):
    """The turn's ``max_cost_usd`` does not cover its next model call."""

    def __init__(self, *, needed: int, budget: int, spent: int) -> None:
        self.needed_nanos = needed
        super().__init__(
            f"the turn's budget of {usd_text(budget)} USD does not cover its next step: "
            f"{usd_text(spent)} USD is spent, {usd_text(needed)} USD is needed at least",
            code="turn_budget_reached",
            details={
                "budget_micros": micros(budget),
                "spent_micros": micros(spent),
                "needed_micros": micros(needed),
            },
        )


class EndUserBudgetReached(PaymentRequired):
    """The end user's budget does not cover the call's input."""

    def __init__(
        self, end_user_id: str, *, needed: int, budget: int, spent: int, held: int, resets_at: int | None
    ) -> None:
        self.needed_nanos = needed
        super().__init__(
            f"the budget of {usd_text(budget)} USD for end user {end_user_id} does not cover this call: "
            f"{usd_text(spent)} USD is spent, {usd_text(held)} USD is held by running calls, "
            f"{usd_text(needed)} USD is needed at least",
            code="end_user_budget_reached",
            details={
                "end_user_id": end_user_id,
                "budget_micros": micros(budget),
                "spent_micros": micros(spent),
                "held_micros": micros(held),
                "needed_micros": micros(needed),
                "resets_at": resets_at,
            },
        )


class KeyRateReached(RateLimited):
    """The key has used up its requests or tokens per minute."""

    def __init__(self, what: str, *, limit: int, wait_ms: int, status: RateStatus) -> None:
        wait_s = max(1, math.ceil(wait_ms / 1000))
        super().__init__(
            f"this key's limit of {limit} {what} per minute is reached; try again in {wait_s} s",
            code=f"rate_limit_{what}",
            details={"limit": limit, "retry_after_ms": wait_ms},
            headers={"retry-after": str(wait_s), **status.headers()},
        )


class KeyConcurrencyReached(RateLimited):
    """The key has as many calls under way as it may."""

    def __init__(self, *, limit: int, running: int) -> None:
        super().__init__(
            f"this key may have {limit} calls under way at once, and has {running}",
            code="rate_limit_concurrency",
            details={"limit": limit, "running": running},
            headers={"retry-after": "1"},
        )
