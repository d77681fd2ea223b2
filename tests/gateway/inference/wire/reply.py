"""What an upstream of the tests answers, before it is put into a dialect's wire form."""

from collections.abc import Iterator
from dataclasses import dataclass, field

PIECE_CHARS = 12


@dataclass(frozen=True)
class Call:
    id: str
    name: str
    arguments: str
    """JSON text."""
    signature: str | None = None
    """A Google thought signature."""


@dataclass(frozen=True)
class Thought:
    """``signature`` is the maker's own: Anthropic's, or OpenAI's encrypted content. Chat providers have none,
    and Google signs what follows the thought. Without a text only the maker can read it."""

    text: str
    signature: str = ""


@dataclass
class Reply:
    """``input_tokens`` are those that were neither read from nor written to a cache; ``reasoning_tokens`` are
    among the ``output_tokens``."""

    text: str
    calls: list[Call] = field(default_factory=list)
    truncated: bool = False
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    thoughts: list[Thought] = field(default_factory=list)
    text_signature: str | None = None
    """A Google thought signature of the text."""

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens


def pieces(text: str) -> Iterator[str]:
    """A text in the pieces in which it is streamed."""
    for start in range(0, len(text), PIECE_CHARS):
        yield text[start : start + PIECE_CHARS]
