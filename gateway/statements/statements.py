"""Makes statements from usage events."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

from gateway.statements.statement import Lines, Month, Statement
from gateway.usage.events import UsageEvents
from gateway.usage.filter import UsageFilter
from kit.caller import Mode
from kit.clock import Clock

ResaleMarkup = Callable[[str, str], Awaitable[Decimal]]
"""What an account adds for one of its end users (account id, end user id), as a fraction of the cost.
Raises NotFound for an end user that the account does not have, where it keeps a list."""


async def no_markup(_account_id: str, _end_user_id: str) -> Decimal:
    return Decimal(0)


class Statements:
    def __init__(self, events: UsageEvents, clock: Clock, *, markup: ResaleMarkup = no_markup) -> None:
        self._events = events
        self._clock = clock
        self._markup = markup

    async def of(
        self, account_id: str, end_user_id: str, month: Month | None = None, *, mode: Mode = "live"
    ) -> Statement:
        """The end user's statement of a month; of the current one unless said. ``mode``: the account's."""
        now_ms = self._clock.now_ms()
        month = month or Month.of(now_ms)
        markup = await self._markup(account_id, end_user_id)
        lines = Lines()
        wanted = UsageFilter(account_id, month.from_ms, month.to_ms, end_user_id=end_user_id)
        async for events in self._events.all(wanted):
            lines.add(events)
        is_complete = now_ms >= month.to_ms
        return Statement(end_user_id, month, markup, tuple(lines.dearest_first()), is_complete, mode)
