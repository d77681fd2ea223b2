"""What a text asks the simulated model to do: tool calls, and directives that make it misbehave.

Tool calls::

    use get_weather {"city": "Oslo"} and convert {"amount": 5} then add_note {"text": "done"}

``and`` calls tools in parallel, ``then`` begins the next round once their results are in. Arguments are a
JSON object and may be left out if the tool is offered. A name is matched exactly, or as the end of one
offered tool's name (``add_note`` finds ``demo__add_note``). Text without such a call is just answered.

Directives, anywhere in the user's text or the system prompt: ``[sim: latency=200ms pace=20ms words=50]``.

====================  ===========================================================================
``latency=200ms``     wait before the first byte
``pace=20ms``         wait between the pieces of a stream
``words=100``         answer with that many words
``status=529``        answer with this error status instead
``retry-after=2``     a ``retry-after`` header on that error
``fail-times=2``      only the first two tries get the error, then it works
``break-after=3``     close the connection after three pieces of the stream
``stall-after=3``     send nothing more after three pieces (for ten minutes)
``garbage``           answer 200 with something that is not JSON
====================  ===========================================================================

Only the newest user text and the system prompt count, so a thread can go on after a fault.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

_USE = re.compile(r"\buse\s+", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}")
_JOIN = re.compile(r"[\s,]*\b(and|then)\b\s+(?:use\s+)?", re.IGNORECASE)
_DIRECTIVE = re.compile(r"\[sim:([^\]]{0,300})\]")
_SEPARATOR = re.compile(r"[_/.-]")
MAX_WAIT_MS = 600_000


def _no_such_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_STRICT = json.JSONDecoder(parse_constant=_no_such_constant)
MAX_WORDS = 100_000


@dataclass(frozen=True)
class PlannedCall:
    """A call as written: the name, and the arguments if they were given."""

    name: str
    arguments: dict[str, Any] | None = None


@dataclass(frozen=True)
class Directives:
    latency_ms: int = 0
    pace_ms: int = 0
    words: int | None = None
    status: int | None = None
    retry_after: str | None = None
    fail_times: int | None = None
    break_after: int | None = None
    stall_after: int | None = None
    garbage: bool = False
    unknown: tuple[str, ...] = field(default=())


def parse_plan(text: str, offered: Collection[str]) -> list[list[PlannedCall]]:
    """The rounds of parallel calls that a text asks for; empty if it asks for none."""
    text = _DIRECTIVE.sub(" ", text)
    for start in _USE.finditer(text):
        rounds = _rounds_at(text, start.end(), offered)
        if rounds:
            return rounds
    return []


def match_tool(name: str, offered: Collection[str]) -> str | None:
    """The offered tool that a written name means, or None."""
    if name in offered:
        return name
    wanted = _SEPARATOR.split(name)
    ending = [tool for tool in offered if _ends_with(_SEPARATOR.split(tool), wanted)]
    return ending[0] if len(ending) == 1 else None


def parse_directives(text: str) -> Directives:
    """The directives in a text; what is not understood is listed in ``unknown``."""
    values: dict[str, Any] = {}
    unknown: list[str] = []
    for found in _DIRECTIVE.finditer(text):
        for word in found.group(1).split():
            name, _, value = word.partition("=")
            if not _take(values, name.lower(), value):
                unknown.append(word)
    return Directives(**values, unknown=tuple(unknown))


def _rounds_at(text: str, position: int, offered: Collection[str]) -> list[list[PlannedCall]]:
    rounds: list[list[PlannedCall]] = [[]]
    while True:
        name = _NAME.match(text, position)
        if name is None:
            break
        arguments, after = _json_object(text, name.end())
        if arguments is None and match_tool(name.group(), offered) is None:
            break
        rounds[-1].append(PlannedCall(name.group(), arguments))
        joined = _JOIN.match(text, after)
        if joined is None:
            break
        if joined.group(1).lower() == "then":
            rounds.append([])
        position = joined.end()
    return [calls for calls in rounds if calls]


def _json_object(text: str, position: int) -> tuple[dict[str, Any] | None, int]:
    start = position + len(text[position:]) - len(text[position:].lstrip())
    if not text.startswith("{", start):
        return None, position
    try:
        value, end = _STRICT.raw_decode(text, start)
        json.dumps(value, ensure_ascii=False).encode()  # no lone surrogates
    except (ValueError, RecursionError):
        return None, position
    return value, end


def _ends_with(parts: list[str], wanted: list[str]) -> bool:
    parts = [part for part in parts if part]
    wanted = [part for part in wanted if part]
    return bool(wanted) and parts[-len(wanted) :] == wanted


def _take(values: dict[str, Any], name: str, value: str) -> bool:
    if name == "garbage":
        values["garbage"] = True
        return True
    key = name.replace("-", "_")
    if not value.isascii() or not value.isprintable():
        return False
    if key == "retry_after" and value:
        values[key] = value[:20]
        return True
    if key in {"latency", "pace"} and value.removesuffix("ms").isdigit():
        values[f"{key}_ms"] = min(int(value.removesuffix("ms")[:9]), MAX_WAIT_MS)
        return True
    if key in {"words", "status", "fail_times", "break_after", "stall_after"} and value.isdigit():
        number = min(int(value[:9]), MAX_WORDS)
        if key == "status" and not 400 <= number <= 599:
            return False
        values[key] = number
        return True
    return False
