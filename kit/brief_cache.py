"""What was just read, kept for seconds: for what is asked for again and again, and may be a moment old.

Invariants:
- at most ``max_entries`` are kept, the longest unused go first; each for at most ``max_age_ms``, and never
  past the end that it was given;
- what is dropped is gone at once, also if it is being read just then: whoever reads takes the number of
  ``drops`` before, and hands it in with what it read;
- nothing here shows a value.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MAX_ENTRIES = 1_000
MAX_AGE_MS = 5_000


class _Kept(NamedTuple, Generic[V]):
    value: V
    since_ms: int
    until_ms: int


class BriefCache(Generic[K, V]):
    """Times are Unix milliseconds."""

    def __init__(self, *, max_entries: int = MAX_ENTRIES, max_age_ms: int = MAX_AGE_MS) -> None:
        self._max_entries = max_entries
        self._max_age_ms = max_age_ms
        self._kept: OrderedDict[K, _Kept[V]] = OrderedDict()
        self.drops = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}>"

    def get(self, key: K, now_ms: int) -> V | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if not kept.since_ms <= now_ms < kept.until_ms:  # a clock that was set back ends it, too
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept.value

    def put(self, key: K, value: V, *, now_ms: int, drops: int, usable_until: int | None = None) -> None:
        """Keep it, unless something was dropped since ``drops`` was read, before the value itself was."""
        until_ms = now_ms + self._max_age_ms
        if usable_until is not None:
            until_ms = min(until_ms, usable_until)
        if drops != self.drops or until_ms <= now_ms:
            return
        self._kept.pop(key, None)
        while len(self._kept) >= self._max_entries:
            self._kept.popitem(last=False)
        self._kept[key] = _Kept(value, now_ms, until_ms)

    def drop(self, key: K) -> None:
        self.drops += 1
        self._kept.pop(key, None)

    def drop_where(self, is_stale: Callable[[V], bool]) -> None:
        self.drops += 1
        for key in [key for key, kept in self._kept.items() if is_stale(kept.value)]:
            del self._kept[key]
