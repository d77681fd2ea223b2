"""Which tools a text asks the simulated model to call.

::

    use get_weather {"city": "Oslo"} and convert {"amount": 5} then add_note {"text": "done"}

``and`` calls tools in parallel, ``then`` begins the next round once their results are in. A call is written
after ``use`` (or ``use the``) and may be in backticks; ``use`` may be repeated after ``and`` and ``then``.
The arguments are a JSON object and may be left out: they are then made up from the tool's schema.

Only the first sentence that can be read as calls counts. A name without arguments is a call only if such a
tool is offered or the name has an underscore, so "use the force" stays prose. A name means the offered tool
of that name, else the one whose local name it is (``add_note`` finds ``demo__add_note``), else the one that
ends with it (``add_note`` finds ``demo_add_note``); the hash that keeps long names apart is not counted.
"""

import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 100_000
MAX_STARTS = 64
"""How much of a text is searched, so that a hostile one costs little."""

_USE = re.compile(r"\buse\s+(?:the\s+)?", re.IGNORECASE)
_NAME = re.compile(r"`?([A-Za-z0-9_](?:[A-Za-z0-9_./-]{0,126}[A-Za-z0-9_])?)`?")
_JOIN = re.compile(r"[\s,]*\b(and|then)\s+(?:then\s+)?(?:use\s+)?(?:the\s+)?", re.IGNORECASE)
_SPACE = re.compile(r"\s*")
_HASH = re.compile(r"_[0-9a-f]{8}$")
_SEPARATORS = "_/.-"


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call as written: the name, and its arguments as JSON text if they were given."""

    name: str
    arguments: str | None = None


def parse_plan(text: str, offered: Collection[str]) -> list[list[PlannedCall]]:
    """The rounds of parallel calls that a text asks for; empty if it asks for none."""
    text = text[:MAX_TEXT]
    for number, start in enumerate(_USE.finditer(text)):
        if number == MAX_STARTS:
            break
        rounds = _rounds_at(text, start.end(), offered)
        if rounds:
            return rounds
    return []


def matching_tools(name: str, offered: Collection[str]) -> list[str]:
    """The offered tools that a written name may mean: one if it is clear, none, or several."""
    safe = name.replace("/", "__", 1)
    for wanted in (name, safe):
        if wanted in offered:
            return [wanted]
    stems = {tool: _HASH.sub("", tool) for tool in offered}
    local = [tool for tool, stem in stems.items() if stem == safe or stem.rpartition("__")[2] == name]
    if local:
        return local
    return [tool for tool, stem in stems.items() if _ends_with(tool, name) or _ends_with(stem, safe)]


def _rounds_at(text: str, position: int, offered: Collection[str]) -> list[list[PlannedCall]]:
    rounds: list[list[PlannedCall]] = [[]]
    while True:
        found = _NAME.match(text, position)
        if found is None:
            break
        name = found.group(1)
        arguments, after = _json_object(text, found.end())
        if arguments is None and "_" not in name and not matching_tools(name, offered):
            break
        rounds[-1].append(PlannedCall(name, arguments))
        joined = _JOIN.match(text, after)
        if joined is None:
            break
        if "then" in joined.group().lower():
            rounds.append([])
        position = joined.end()
    return [calls for calls in rounds if calls]


def _json_object(text: str, position: int) -> tuple[str | None, int]:
    """The JSON object after ``position``, written compactly, and where it ends."""
    space = _SPACE.match(text, position)
    start = space.end() if space is not None else position
    if not text.startswith("{", start):
        return None, position
    try:
        value, end = _DECODER.raw_decode(text, start)
        compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        compact.encode()  # a lone surrogate, written as an escape, has no UTF-8 form
    except (ValueError, RecursionError):
        return None, position
    return compact, end


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is out of range")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant)


def _ends_with(tool: str, name: str) -> bool:
    return len(tool) > len(name) and tool.endswith(name) and tool[-len(name) - 1] in _SEPARATORS
