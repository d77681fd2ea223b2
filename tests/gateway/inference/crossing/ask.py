"""What a client wants to say and reads, and what a provider hears, in no dialect's terms.

The clients write an Ask in their dialect and read a Read out of the answer; the providers' ears read a Told
out of what arrives. All of them are written by hand, so that nothing here leans on the code it tests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """The user's words, perhaps with a picture before them."""

    text: str
    image: bytes | None = None


@dataclass(frozen=True)
class Replayed:
    """An answer as the client sends it back: messages or items of its dialect."""

    items: tuple[Json, ...]


@dataclass(frozen=True)
class Results:
    """What the client's tools gave: pairs of the call's id, as the client knows it, and a text."""

    results: tuple[tuple[str, str], ...]


Turn = Said | Replayed | Results


@dataclass(frozen=True)
class Ask:
    turns: tuple[Turn, ...]
    model: str = ""
    stream: bool = False
    system: str = "Answer in one line."
    tools: Mapping[str, Json] = field(default_factory=dict)
    """Schemas by name."""
    forced: str | None = None
    """The tool that must be called."""
    schema: Json | None = None
    """Of the answer."""
    thinks: bool = False

    def then(self, *turns: Turn) -> "Ask":
        """The same conversation, one round later; no tool is forced any more."""
        return replace(self, turns=(*self.turns, *turns), forced=None)


@dataclass(frozen=True)
class ReadCall:
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class ReadUsage:
    """``input`` holds the cached tokens too."""

    input: int
    cached: int
    output: int
    reasoning: int


@dataclass(frozen=True)
class Read:
    """What a client finds in an answer; ``stop`` in its dialect's word."""

    text: str
    calls: Sequence[ReadCall]
    stop: str
    usage: ReadUsage
    thought: str
    replayed: Replayed

    def results(self, *texts: str) -> Results:
        """Texts as the results of the calls, in order."""
        pairs = zip(self.calls, texts, strict=True)
        return Results(tuple((call.id, text) for call, text in pairs))


@dataclass(frozen=True)
class ToldCall:
    """A call in a history: ``signature`` is Google's."""

    name: str
    arguments: Json
    result: str | None = None
    signature: str | None = None


@dataclass
class Told:
    """What a provider heard. ``thoughts`` are pairs of a text and the maker's signature."""

    path: str
    model: str
    system: str
    stream: bool
    texts: list[tuple[str, str]] = field(default_factory=list)
    """Pairs of the role (user or assistant) and the text."""
    images: list[tuple[str, bytes]] = field(default_factory=list)
    tools: Json = field(default_factory=dict)
    choice: str | None = None
    """The tool that must be called."""
    calls: list[ToldCall] = field(default_factory=list)
    thoughts: list[tuple[str, str]] = field(default_factory=list)
    schema: Json | None = None
    asked_to_think: bool = False
    text_signatures: list[str] = field(default_factory=list)
    """Google's, of texts."""
