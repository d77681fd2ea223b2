"""Named places in the code where a process can be made to die, so that tests can prove what is left then.

``HEDDLE_CRASH_AT=billing.settle.applied:3`` makes a process kill itself (SIGKILL, nothing is cleaned up) the
third time that it reaches this point, in whichever thread. Without it a point costs one comparison.

A name says where it is: ``queued``, before a transaction; ``applied``, within it, before its commit;
``committed``, after its commit, before anybody has heard of it.
"""

import os
import signal
import threading
from typing import Literal, cast, get_args

VARIABLE = "HEDDLE_CRASH_AT"

Point = Literal[
    # --- billing: the hold, the settlement, movements of money, the reaper, the sums of usage
    "billing.hold.queued",
    "billing.hold.applied",
    "billing.hold.committed",
    "billing.settle.queued",
    "billing.settle.applied",
    "billing.settle.committed",
    "billing.credit.applied",
    "billing.credit.committed",
    "billing.reap.applied",
    "billing.reap.committed",
    "stripe.event.applied",
    "stripe.event.committed",
    "usage.roll.applied",
    "usage.roll.committed",
    # --- a call: its provider's answer, and the client's
    "call.upstream.asked",  # held, and nothing sent yet
    "call.upstream.answered",  # the head is there
    "call.whole.read",  # all of the provider's bytes are there
    "call.whole.settled",  # paid, and the client has nothing yet
    "call.stream.delivered",  # the client has got a piece (the n-th)
    "call.stream.ended",  # the last piece has been delivered
    "call.stream.settled",  # paid, and the client does not know yet that this was all
    # --- a turn: its steps, its tools, its events
    "turn.begin.applied",
    "turn.begin.committed",
    "turn.step.opened",  # the provider has accepted the step
    "turn.step.shown",  # an event (the n-th) is on its way to the subscribers
    "turn.step.applied",
    "turn.step.committed",
    "turn.events.applied",
    "turn.events.committed",
    "turn.tool.started",  # the call is marked as running
    "turn.tool.answered",  # its result is there, and not written down
    "turn.tool.committed",
    "turn.results.applied",
    "turn.results.committed",
    "turn.take.applied",
    "turn.take.committed",  # a turn that somebody left is ours
    "turn.lost.committed",  # what the attempt before had delivered is paid
    "turn.end.applied",
    "turn.end.committed",
    # --- a connection's tokens are refreshed
    "connection.refresh.taken",  # the vendor is not asked yet
    "connection.refresh.answered",  # the new tokens are in memory alone
    "connection.refresh.applied",
    "connection.refresh.committed",
]

POINTS: frozenset[str] = frozenset(get_args(Point))


class BadCrashPoint(ValueError):
    """The variable names no point; the message says which there are."""


class _Fuse:
    """Counts how often its point is reached."""

    def __init__(self, point: Point, times: int) -> None:
        self._point = point
        self._left = times
        self._lock = threading.Lock()

    def reached(self, point: Point) -> None:
        if point != self._point:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_fuse: _Fuse | None = None


def reach(point: Point) -> None:
    """This is the place ``point``. Does not return if the process was told to die here."""
    if _fuse is not None:
        _fuse.reached(point)


def arm(text: str | None) -> None:
    """Die at ``name`` or ``name:n``, counted from now; None or an empty text takes it back.

    Raises BadCrashPoint.
    """
    global _fuse
    if not text:
        _fuse = None
        return
    name, colon, times = text.partition(":")
    if name not in POINTS:
        raise BadCrashPoint(f"{VARIABLE}: there is no point {name!r}; there are {', '.join(sorted(POINTS))}")
    if colon and not (times.isascii() and times.isdigit() and int(times) > 0):
        raise BadCrashPoint(f"{VARIABLE}: expected name:n with n from 1 on, got {text!r}")
    _fuse = _Fuse(cast(Point, name), int(times) if colon else 1)
