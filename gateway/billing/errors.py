"""Refusals that concern money: HTTP 402, nothing was sent upstream."""

from kit.errors import PaymentRequired
from kit.money import micros, usd_text


class WalletEmpty(PaymentRequired):
    """The wallet does not cover the call's input."""

    def __init__(self, *, needed: int, balance: int, held: int) -> None:
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
