"""What of a history fits into a model's window: where it is cut, and which results of tools are left out.

Invariants:
- the newest exchange (what the user says now, and all that followed) is never cut, no call is parted from its
  result;
- a cut moves only when the history no longer fits, and then so far that it stays for a while: every move
  makes the provider read everything anew that it had in its cache.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kit.errors import TooLarge
from threads.context.repair import Block, as_blocks
from threads.models import Message

OMITTED = "[This result was left out: the conversation has grown too long for the model's context window.]"
_LEFT_OUT = "[{} left out]"
CLIPPED = "\n[… cut here: the rest does not fit into the model's context window]"
LONGEST_CLIP, SHORTEST_CLIP = 262_144, 256
"""Characters of a result that alone is too large."""
REGAINED_AT = 1.5
"""A model with so much more room is shown again what was left out for another."""

How = int | None
"""How a message's results are shown: whole (None), or so many characters of each; 0 is the marker alone."""


class ContextTooLarge(TooLarge):
    """What the user says now does not fit into the model's window, whatever else is left out."""

    code = "context_too_large"


@dataclass(frozen=True, slots=True)
class Cut:
    """``start_seq``: the first message that is sent; ``omitted_seq``: results up to here are left out;
    ``clipped``: characters shown of each result in a message; ``limit``: the input tokens it was made for."""

    start_seq: int = 0
    omitted_seq: int = 0
    clipped: Mapping[int, int] = field(default_factory=dict)
    limit: int = 0

    @classmethod
    def of(cls, kept: Mapping[str, Any] | None) -> "Cut":
        """From what ``as_json`` gave."""
        if not kept:
            return cls()
        clipped = {int(seq): chars for seq, chars in kept["clipped"].items()}
        return cls(kept["start_seq"], kept["omitted_seq"], clipped, kept["limit"])

    def as_json(self) -> dict[str, Any] | None:
        if not (self.start_seq or self.omitted_seq or self.clipped):
            return None
        return {
            "start_seq": self.start_seq,
            "omitted_seq": self.omitted_seq,
            "clipped": {str(seq): chars for seq, chars in self.clipped.items()},
            "limit": self.limit,
        }

    def holds(self, limit: int) -> bool:
        """Whether a model with this limit goes on from here."""
        return limit < REGAINED_AT * self.limit

    def how(self, message: Message) -> How:
        if message.role != "user":
            return None
        return 0 if message.seq <= self.omitted_seq else self.clipped.get(message.seq)


Tokens = Callable[[Message, How], int]


def fit(history: Sequence[Message], tokens: Tokens, room: int, ratio: float, cut: Cut) -> Cut:
    """The ``cut`` itself if what it leaves takes at most ``room`` tokens, else the next one, which leaves
    about ``ratio`` of that. Raises ContextTooLarge."""
    kept = [message for message in history if message.seq >= cut.start_seq]
    total = sum(tokens(message, cut.how(message)) for message in kept)
    if total <= room:
        return cut
    aim = int(room * ratio)
    newest = 0
    for index, message in enumerate(kept):
        if index and begins_exchange(message):
            newest = index
            if total <= aim:
                break
        total -= tokens(message, cut.how(message))
    current = kept[newest:]
    if newest:
        cut = replace(cut, start_seq=current[0].seq)
    return _shorten(current, tokens, room, aim, cut)


def _shorten(current: Sequence[Message], tokens: Tokens, room: int, aim: int, cut: Cut) -> Cut:
    """Leave out the oldest results of the current exchange; of those that the model has not seen yet, show as
    much as fits. Raises ContextTooLarge."""
    total = sum(tokens(message, cut.how(message)) for message in current)
    if total <= room:
        return cut
    results = [message for message in current if holds_results(message)]
    for message in results[:-1]:
        total += tokens(message, 0) - tokens(message, cut.how(message))
        cut = replace(cut, omitted_seq=max(cut.omitted_seq, message.seq))
        if total <= aim:
            return cut
    if total <= room:
        return cut
    if results:
        last = results[-1]
        others = total - tokens(last, cut.how(last))
        chars = cut.clipped.get(last.seq, LONGEST_CLIP)
        while chars >= SHORTEST_CLIP:
            if others + tokens(last, chars) <= room:
                return replace(cut, clipped={last.seq: chars})
            chars //= 2
        total = others + tokens(last, 0)
        if total <= room:
            return replace(cut, omitted_seq=last.seq)
    raise ContextTooLarge(
        f"what is said now takes about {total} tokens, and the model has room for {max(room, 0)}",
        param="content",
        details={"input_tokens": total, "room_tokens": max(room, 0)},
    )


def begins_exchange(message: Message) -> bool:
    """Whether the user says something here, beside answering calls."""
    return message.role == "user" and any(
        block.get("type") != "tool_result" for block in as_blocks(message.content)
    )


def holds_results(message: Message) -> bool:
    return message.role == "user" and any(
        block.get("type") == "tool_result" for block in as_blocks(message.content)
    )


def shown(blocks: list[Block], how: How) -> list[Block]:
    """The blocks with their results whole, clipped or left out."""
    if how is None:
        return blocks
    return [
        {**block, "content": _clipped(block.get("content"), how)}
        if block.get("type") == "tool_result"
        else block
        for block in blocks
    ]


def _clipped(content: Any, chars: int) -> Any:
    blocks = as_blocks(content or "")
    text = "\n".join(
        str(block.get("text", "")) if block.get("type") == "text" else _LEFT_OUT.format(block.get("type"))
        for block in blocks
    )
    if len(text) <= max(chars, len(OMITTED)) and all(block.get("type") == "text" for block in blocks):
        return content
    return text[:chars] + CLIPPED if chars else OMITTED
