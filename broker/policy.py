"""What a developer allows a tool: whether it may be used, who is asked first, how long it may take.

A server's rules are ``{"allow": [...], "deny": [...], "policies": {pattern: {...}}}`` over its own names of
its tools; ``*`` in a pattern stands for any characters. ``deny`` goes before ``allow``; of several policies
the one with the longest pattern counts, field by field.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Approval = Literal["never", "first_use", "always"]
APPROVALS: tuple[Approval, ...] = ("never", "first_use", "always")
"""Whether somebody must approve of a call, from the mildest to the strictest. ``first_use``: once for each
end user (without one: each thread), and again when the tool's definition has changed."""


@dataclass(frozen=True)
class ToolPolicy:
    """``idempotent`` is None where what the server says of its tool counts, ``timeout_ms`` where its own."""

    approval: Approval = "never"
    timeout_ms: int | None = None
    idempotent: bool | None = None
    trusted: bool = False
    """What it says is not marked as data for the model."""


def as_approval(stored: str) -> Approval:
    """A stored value; the strictest for one that nobody knows any more."""
    return next((known for known in APPROVALS if known == stored), "always")


def stricter(one: Approval, other: Approval) -> Approval:
    return max(one, other, key=APPROVALS.index)


def allowed(rules: Mapping[str, Any], tool: str) -> bool:
    """Whether a server's tool may be used at all."""
    if _matches(rules.get("deny", ()), tool):
        return False
    allow = rules.get("allow")
    return allow is None or _matches(allow, tool)


def policy_of(
    rules: Mapping[str, Any], tool: str, *, approval: Approval = "never", timeout_ms: int | None = None
) -> ToolPolicy:
    """A server's tool's own policy over what holds for the whole server."""
    merged: dict[str, Any] = {"approval": approval, "timeout_ms": timeout_ms, "idempotent": None}
    policies: Mapping[str, Mapping[str, Any]] = rules.get("policies", {})
    for pattern in sorted(policies, key=lambda pattern: (len(pattern), "*" not in pattern)):
        if _matches((pattern,), tool):
            merged.update(policies[pattern])
    return ToolPolicy(**merged)


def _matches(patterns: Iterable[str], tool: str) -> bool:
    return any(_matches_one(pattern, tool) for pattern in patterns)


def _matches_one(pattern: str, tool: str) -> bool:
    first, *rest = pattern.split("*")
    if not rest:
        return tool == pattern
    *middle, last = rest
    at, end = len(first), len(tool) - len(last)
    if at > end or not tool.startswith(first) or not tool.endswith(last):
        return False
    for piece in middle:  # the first place of each leaves the most room for the next
        found = tool.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
