"""W3C Trace Context: reading what came with a request, so that what is called for it belongs to its trace.

Source: Trace Context, level 1 (sections 3.2 and 3.3), and level 2 for the keys and the random flag. What is
malformed is treated as not sent; ``tracestate`` is nothing without its ``traceparent``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_MEMBERS = 32
MAX_STATE_CHARS = 512
"""So much has to be passed on at least (section 3.3.1.5, which says how to shorten what is longer)."""
LONG_MEMBER = 128
KNOWN_FLAGS = 0x03
"""Sampled, and (level 2) a trace id that is random; the others are to be 0."""

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII | re.DOTALL)
_KEY = re.compile(r"[a-z0-9][a-z0-9_\-*/@]{0,255}", re.ASCII)
_VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]", re.ASCII)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace that somebody else has begun. ``flags`` as two hexadecimal digits."""

    trace_id: str
    parent_id: str
    flags: str
    state: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """As it came."""
        return self.of_span(self.parent_id)

    def of_span(self, span_id: str) -> dict[str, str]:
        """What goes with a request made for it: ``traceparent``, and ``tracestate`` if there is one."""
        sent = {"traceparent": f"00-{self.trace_id}-{span_id}-{self.flags}"}
        return sent if self.state is None else {**sent, "tracestate": self.state}


def trace_in_headers(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext | None:
    """Of raw HTTP headers, their names in lower case. Two ``traceparent`` are none; the values of several
    ``tracestate`` are one list."""
    parents, states = list[str](), list[str]()
    for name, value in headers:
        if name == b"traceparent":
            parents.append(value.decode("latin-1").strip(" \t"))
        elif name == b"tracestate":
            states.append(value.decode("latin-1"))
    return _context(parents[0], states) if len(parents) == 1 else None


def trace_in(fields: Mapping[str, Any] | None) -> TraceContext | None:
    """Of a mapping such as the ``_meta`` of an MCP request."""
    fields = fields or {}
    parent, state = fields.get("traceparent"), fields.get("tracestate")
    if not isinstance(parent, str):
        return None
    return _context(parent, [state] if isinstance(state, str) else [])


def _context(parent: str, states: Sequence[str]) -> TraceContext | None:
    found = _PARENT.fullmatch(parent)
    if found is None:
        return None
    version, trace_id, parent_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not trace_id.strip("0") or not parent_id.strip("0"):
        return None
    return TraceContext(trace_id, parent_id, f"{int(flags, 16) & KNOWN_FLAGS:02x}", _state(states))


def _state(values: Sequence[str]) -> str | None:
    """The list as it is passed on; None where there is none, or one that is not well-formed."""
    members = [member.strip(" \t") for value in values for member in value.split(",")]
    members = [member for member in members if member]
    if not members or len(members) > MAX_MEMBERS:
        return None
    keys = set()
    for member in members:
        key, equals, value = member.partition("=")
        if not equals or key in keys or not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            return None
        keys.add(key)
    return ",".join(_fitting(members)) or None


def _fitting(members: list[str]) -> list[str]:
    """Within the length: first without those that are long themselves, then without the last ones."""
    if len(",".join(members)) > MAX_STATE_CHARS:
        members = [member for member in members if len(member) <= LONG_MEMBER]
    while len(",".join(members)) > MAX_STATE_CHARS:
        members.pop()
    return members
