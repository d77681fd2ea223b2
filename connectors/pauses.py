"""How long a vendor that failed is left alone."""

import random

FIRST_MS = 5_000
LONGEST_MS = 5 * 60 * 1000
LONGEST_ASKED_MS = 60 * 60 * 1000
SPREAD = 0.2


def pause_ms(failures: int, retry_after: str | None = None) -> int:
    """Doubled with each failure in a row, spread by a fifth; at least what a ``Retry-After`` in seconds asks
    for (RFC 9110, section 10.2.3), which is believed for up to an hour."""
    usual = min(FIRST_MS * 2 ** min(failures - 1, 10), LONGEST_MS)
    spread = spread_ms(usual)
    if retry_after is not None and retry_after.isascii() and retry_after.isdigit():
        return max(spread, min(int(retry_after[:9]) * 1000, LONGEST_ASKED_MS))
    return spread


def spread_ms(period_ms: int) -> int:
    """A period, spread by a fifth: what began together does not come back together."""
    return round(period_ms * random.uniform(1 - SPREAD, 1 + SPREAD))  # noqa: S311 - not a secret
