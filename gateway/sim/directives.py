"""How a text asks the simulated model to behave: ``[sim: latency=200ms pace=20ms words=50]``.

Directives stand in the newest user text or in the system prompt, several in one bracket or in several
brackets; where both set the same one, the user's wins. They are in force for every model step of the turn:
the request that brings the text, and those that bring the results of the tools it made the model call.
``step=2`` limits the faults to one of these requests. A user text that is no longer the newest has no
effect, so that a conversation can go on after a fault.

====================  ===========================================================================
``latency=200ms``     wait before the first byte (``ms`` or ``s``)
``pace=20ms``         wait after each event of a stream
``words=100``         the closing answer is that many words (each is one token and one event)
``cache-read=100``    count that many input tokens as read from the prompt cache
``cache-write=100``   count that many input tokens as written to it
====================  ===========================================================================

Faults:

====================  ===========================================================================
``status=529``        answer with this error status (400 to 599)
``retry-after=2``     with this ``retry-after`` header on that error
``break-after=3``     close the connection after three events of the stream (or within a whole body)
``stall-after=3``     send nothing more after three events (for ten minutes, or until the client goes)
``error-after=3``     an error event after three events (a whole answer: status 500)
``garbage``           answer 200 with something that is not JSON
``fail-times=2``      only the first two tries meet the fault (status 500 if none is named), then one
                      succeeds, and the count begins again
``step=2``            only the second request of the turn meets the fault; 1 is the first
====================  ===========================================================================
"""

import re
from dataclasses import dataclass, fields, replace

MAX_WAIT_MS = 600_000
MAX_COUNT = 100_000

_BRACKET = re.compile(r"\[sim:([^\]]{0,500})\]", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]{1,9})(ms|s)?")
_DURATIONS = {"latency": "latency_ms", "pace": "pace_ms"}
_COUNTS = {
    "words", "cache-read", "cache-write", "status", "break-after", "stall-after", "error-after",
    "fail-times", "step",
}  # fmt: skip


class UnknownDirective(ValueError):
    """A directive that does not exist or cannot have this value."""


@dataclass(frozen=True, slots=True)
class Directives:
    """What was asked for. Times in milliseconds; None where nothing was said."""

    latency_ms: int = 0
    pace_ms: int = 0
    words: int | None = None
    cache_read: int = 0
    cache_write: int = 0
    status: int | None = None
    retry_after: str | None = None
    break_after: int | None = None
    stall_after: int | None = None
    error_after: int | None = None
    garbage: bool = False
    fail_times: int | None = None
    step: int | None = None

    @property
    def faulty(self) -> bool:
        """Whether there is a fault to meet."""
        return self.garbage or any(
            fault is not None for fault in (self.status, self.break_after, self.stall_after, self.error_after)
        )

    def without_faults(self) -> "Directives":
        defaults = {field.name: field.default for field in fields(self) if field.name in _FAULTS}
        return replace(self, **defaults)  # type: ignore[arg-type]


_FAULTS = {
    "status", "retry_after", "break_after", "stall_after", "error_after", "garbage", "fail_times", "step",
}  # fmt: skip
_NONE = Directives()


def read_directives(*texts: str) -> Directives:
    """The directives in these texts, the later ones winning. Raises UnknownDirective."""
    values: dict[str, int | str | bool] = {}
    for text in texts:
        if "[" not in text:
            continue
        for bracket in _BRACKET.finditer(text):
            for word in bracket.group(1).replace(",", " ").split():
                _take(values, word)
    if not values:
        return _NONE
    directives = Directives(**values)  # type: ignore[arg-type]
    if directives.fail_times is not None and not directives.faulty:
        directives = replace(directives, status=500)
    return directives


def strip_directives(text: str) -> str:
    """The text as the model reads it."""
    return _BRACKET.sub(" ", text) if "[" in text else text


def _take(values: dict[str, int | str | bool], word: str) -> None:
    name, _, value = word.partition("=")
    name = name.lower()
    if name == "garbage" and not value:
        values["garbage"] = True
    elif name == "retry-after" and re.fullmatch(r"[0-9A-Za-z.:+-]{1,40}", value):
        values["retry_after"] = value
    elif name in _DURATIONS and (duration := _DURATION.fullmatch(value)):
        factor = 1000 if duration.group(2) == "s" else 1
        values[_DURATIONS[name]] = min(int(duration.group(1)) * factor, MAX_WAIT_MS)
    elif name in _COUNTS and re.fullmatch(r"[0-9]{1,9}", value):
        count = int(value)
        if name == "status" and not 400 <= count <= 599:
            raise UnknownDirective(f"[sim: {word}]: a status is between 400 and 599")
        values[name.replace("-", "_")] = min(count, MAX_COUNT)
    else:
        known = ", ".join(sorted({*_DURATIONS, *_COUNTS, "garbage", "retry-after"}))
        raise UnknownDirective(f"[sim: {word}] is not a directive with a value it can have; known: {known}")
