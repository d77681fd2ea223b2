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


@dataclass
class Reply:
    text: str
    calls: list[Call] = field(default_factory=list)
    truncated: bool = False
    input_tokens: int = 0
    output_tokens: int = 0


def pieces(text: str) -> Iterator[str]:
    """A text in the pieces in which it is streamed."""
    for start in range(0, len(text), PIECE_CHARS):
        yield text[start : start + PIECE_CHARS]
