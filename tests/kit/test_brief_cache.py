"""What is kept in memory for seconds: few, never past its time, gone when something is learned of it."""

from kit.brief_cache import MAX_AGE_MS, BriefCache

SECRET = "a-secret-in-the-clear"


def kept(
    key: str = "a", *, until: int | None = None, drops: int = 0, max_entries: int = 10
) -> BriefCache[str, str]:
    cache = BriefCache[str, str](max_entries=max_entries)
    cache.put(key, SECRET, now_ms=1_000, drops=drops, usable_until=until)
    return cache


def test_it_is_kept_for_seconds() -> None:
    cache = kept()
    assert cache.get("a", 1_000 + MAX_AGE_MS - 1) == SECRET
    assert cache.get("a", 1_000 + MAX_AGE_MS) is None
    assert len(cache) == 0


def test_it_is_never_kept_past_its_time_nor_by_a_clock_that_was_set_back() -> None:
    cache = kept(until=1_500)
    assert cache.get("a", 1_499) == SECRET
    assert cache.get("a", 1_500) is None
    assert len(kept(until=1_000)) == 0
    assert kept().get("a", 999) is None


def test_the_least_used_makes_room() -> None:
    cache = kept("0", max_entries=3)
    for key in "12":
        cache.put(key, SECRET, now_ms=1_000, drops=0)
    assert cache.get("0", 1_001) is not None
    for key in "34":
        cache.put(key, SECRET, now_ms=1_000, drops=0)
    assert [cache.get(key, 1_002) is not None for key in "01234"] == [True, False, False, True, True]


def test_what_was_being_read_when_it_was_dropped_is_not_kept() -> None:
    cache = kept()
    before = cache.drops
    cache.drop("a")
    cache.put("a", SECRET, now_ms=1_000, drops=before)
    assert cache.get("a", 1_001) is None


def test_all_that_is_stale_goes_at_once_and_what_is_being_read_with_it() -> None:
    cache = kept()
    cache.put("b", "good", now_ms=1_000, drops=0)
    cache.drop_where(lambda value: value == SECRET)
    assert (cache.get("a", 1_001), cache.get("b", 1_001)) == (None, "good")
    cache.put("a", SECRET, now_ms=1_000, drops=0)
    assert cache.get("a", 1_001) is None


def test_nothing_shows_what_is_kept() -> None:
    assert SECRET not in repr(kept())
