"""When tokens that nobody uses are refreshed, so that their vendor does not let them die of it."""

from connectors.pauses import spread_ms
from connectors.token_target import TokenTarget

DAY_MS = 24 * 3_600_000
KEEP_ALIVE_MS = 7 * DAY_MS
"""Where the vendor does not say how long a refresh token lives unused."""
PART = 3
"""Of the time that it says: a refresh that fails can be made again for weeks."""


def keep_alive_ms(target: TokenTarget) -> int:
    """The pause until an unused token is refreshed, spread by a fifth."""
    idle_days = target.refresh_idle_days
    return spread_ms(KEEP_ALIVE_MS if idle_days is None else idle_days * DAY_MS // PART)
