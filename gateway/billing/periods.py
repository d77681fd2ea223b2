"""Calendar periods of spending caps, in UTC."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

DAY_MS = 24 * 60 * 60 * 1000


def period_start(period: str, now_ms: int) -> datetime | None:
    """When the current period began; None for ``lifetime``. Weeks begin on Monday (ISO 8601)."""
    day = datetime.fromtimestamp(now_ms / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return day
    if period == "week":
        return day - timedelta(days=day.weekday())
    if period == "month":
        return day.replace(day=1)
    return None


def period_label(period: str, now_ms: int) -> str:
    """A name for the current period, e.g. ``day:2026-11-21`` or ``lifetime``."""
    return _label(period, now_ms // DAY_MS)


@lru_cache(maxsize=64)
def _label(period: str, day: int) -> str:
    start = period_start(period, day * DAY_MS)
    return period if start is None else f"{period}:{start.date().isoformat()}"


def start_ms(period: str, now_ms: int) -> int:
    start = period_start(period, now_ms)
    return 0 if start is None else int(start.timestamp() * 1000)


def resets_at_ms(period: str, now_ms: int) -> int | None:
    """When the next period begins; None for ``lifetime``."""
    start = period_start(period, now_ms)
    if start is None:
        return None
    if period == "month":
        following = (start + timedelta(days=32)).replace(day=1)
    else:
        following = start + timedelta(days=1 if period == "day" else 7)
    return int(following.timestamp() * 1000)
