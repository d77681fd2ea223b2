"""A circuit breaker: stop asking what keeps failing, and try again now and then (Nygard, Release It!)."""

import time
from collections.abc import Callable

FAILURES_TO_OPEN = 5
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 120.0


class Breaker:
    """Of one thing that may fail: a model at a provider, an endpoint.

    Closed: everything passes. After ``FAILURES_TO_OPEN`` failures in a row it opens: nothing passes for a
    pause, which doubles each time it opens again. Then one call is let through as a probe; its success
    closes the breaker, its failure opens it for longer.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        return self._open_until is not None

    @property
    def is_untroubled(self) -> bool:
        """Whether it says no more than a new one would."""
        return self._failures == 0 and self._open_until is None

    def admit(self) -> float:
        """0 if a call may be made now (it must be followed by ``succeeded``, ``failed`` or ``given_up``),
        else the seconds until one may."""
        if self._open_until is None:
            return 0.0
        wait_s = self._open_until - self._now_s()
        if wait_s > 0:
            return wait_s
        if self._probing:
            return self._pause_s
        self._probing = True
        return 0.0

    def succeeded(self) -> None:
        self._failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._open_until = None
        self._probing = False

    def failed(self) -> None:
        self._failures += 1
        if self._probing:
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        if self._probing or self._failures >= FAILURES_TO_OPEN:
            self._open_until = self._now_s() + self._pause_s
        self._probing = False

    def given_up(self) -> None:
        """The call ended without telling anything about the provider (its caller went away)."""
        self._probing = False
