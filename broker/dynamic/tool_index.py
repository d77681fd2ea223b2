"""Ranking tools by the words of an intent: BM25 over weighted fields (BM25F; Robertson, Zaragoza: "The
Probabilistic Relevance Framework: BM25 and Beyond", 2009, section 3.6).

Each word of an intent counts once for a tool, by the best of itself and its synonyms. A word's share in a
tool's score is computed when the index is built, so a search only adds up.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from broker.dynamic.terms import STOP_WORDS, terms_of
from broker.dynamic.vocabulary import synonyms

K1 = 0.9
B = 0.3
SYNONYM_WEIGHT = 0.6
JOINED_WEIGHT = 0.9
"""Of two words of an intent that are one in a tool: "on call" and ``oncall``."""
BEGINNING_WEIGHT = 0.5
"""Of words that begin alike, such as "available" and "availability"."""
BEGINNING_CHARS = 6
UNCOVERED_WEIGHT = 0.6
"""What is left of a score if hardly any word of the intent was found in the tool."""
MENTIONED_WEIGHT = 1.6
"""Of the tools of a server that the intent names."""
MAX_INTENT_TERMS = 40
MAX_DESCRIPTION_CHARS = 2_000
MAX_PARAMETERS = 60
MAX_PARAMETER_CHARS = 200
WEIGHTS = (3.0, 2.4, 1.3, 0.6, 0.25)
"""Of the tool's own name, its server, its description, its parameters' names and descriptions."""


@dataclass(frozen=True, slots=True)
class Described:
    """What a tool is found by."""

    name: str
    """``tool`` or ``server/tool``."""
    description: str
    input_schema: dict[str, Any]

    def fields(self) -> tuple[str, ...]:
        """The texts that ``WEIGHTS`` are of."""
        server, _, tool = self.name.rpartition("/")
        properties = self.input_schema.get("properties")
        parameters = list(properties.items())[:MAX_PARAMETERS] if isinstance(properties, dict) else []
        about = [_about(value) for _, value in parameters]
        return (
            tool,
            server,
            self.description[:MAX_DESCRIPTION_CHARS],
            " ".join(str(name) for name, _ in parameters),
            " ".join(about),
        )


def _about(parameter: Any) -> str:
    text = parameter.get("description") if isinstance(parameter, dict) else None
    return text[:MAX_PARAMETER_CHARS] if isinstance(text, str) else ""


class ToolIndex:
    """An index of tools, by their position in the sequence that it was built of."""

    def __init__(self, tools: Sequence[Described]) -> None:
        counted = [[Counter(terms_of(text)) for text in tool.fields()] for tool in tools]
        self._postings = _postings(counted)
        self._servers = _servers(tools)
        self._by_beginning: dict[str, list[str]] = defaultdict(list)
        for term in self._postings:
            if len(term) >= BEGINNING_CHARS:
                self._by_beginning[term[:BEGINNING_CHARS]].append(term)

    def search(self, intent: str, limit: int, *, among: Iterable[int] | None = None) -> list[int]:
        """The best tools for an intent, the best first; only such as have to do with it."""
        scores: dict[int, float] = defaultdict(float)
        found: dict[int, float] = defaultdict(float)
        words = self._words(intent)
        for word in words:
            for tool, share in self._best_of(word).items():
                scores[tool] += share
                found[tool] += 1
        for tool in self._tools_of_mentioned(intent):
            if tool in scores:
                scores[tool] *= MENTIONED_WEIGHT
        if among is not None:
            allowed = set(among)
            scores = {tool: score for tool, score in scores.items() if tool in allowed}
        covered = len(words) or 1

        def ranked(tool: int) -> tuple[float, int]:
            coverage = UNCOVERED_WEIGHT + (1 - UNCOVERED_WEIGHT) * found[tool] / covered
            return scores[tool] * coverage, -tool

        return heapq.nlargest(limit, scores, key=ranked)

    def _tools_of_mentioned(self, intent: str) -> set[int]:
        """The tools of the servers whose names are in the intent."""
        said = terms_of(intent)
        within = {*said, *(first + second for first, second in pairwise(said))}
        mentioned = [tools for name, tools in self._servers.items() if name <= within]
        return {tool for tools in mentioned for tool in tools}

    def _words(self, intent: str) -> list[dict[str, float]]:
        """Each word of an intent as the terms of the index that stand for it, with their weights."""
        said = terms_of(intent)
        kept = [term for term in said if term not in STOP_WORDS] or said
        words = [self._expanded(term) for term in list(dict.fromkeys(kept))[:MAX_INTENT_TERMS]]
        joined = {first + second for first, second in pairwise(said)} - set(kept)
        words += [{term: JOINED_WEIGHT} for term in joined if term in self._postings]
        return [word for word in words if word]

    def _expanded(self, term: str) -> dict[str, float]:
        expanded = {other: SYNONYM_WEIGHT for other in synonyms().get(term, ()) if other in self._postings}
        if term in self._postings:
            expanded[term] = 1.0
        if len(term) >= BEGINNING_CHARS:
            for other in self._by_beginning.get(term[:BEGINNING_CHARS], ()):
                expanded.setdefault(other, BEGINNING_WEIGHT)
        return expanded

    def _best_of(self, word: dict[str, float]) -> dict[int, float]:
        best: dict[int, float] = {}
        for term, weight in word.items():
            for tool, share in self._postings[term]:
                share *= weight
                if share > best.get(tool, 0.0):
                    best[tool] = share
        return best


def _servers(tools: Sequence[Described]) -> dict[frozenset[str], list[int]]:
    """Tools by the terms of their server's name."""
    found: dict[str, list[int]] = defaultdict(list)
    for position, tool in enumerate(tools):
        server = tool.name.rpartition("/")[0]
        if server:
            found[server].append(position)
    return {frozenset(terms_of(server)): positions for server, positions in found.items()}


def _postings(counted: Sequence[Sequence[Counter[str]]]) -> dict[str, list[tuple[int, float]]]:
    """By term, each tool that has it, and its share in the score."""
    lengths = [[field.total() for field in fields] for fields in counted]
    count = max(1, len(counted))
    average = [max(1.0, sum(column) / count) for column in zip(*lengths, strict=True)] if lengths else []
    weighed: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for tool, fields in enumerate(counted):
        frequencies: dict[str, float] = defaultdict(float)
        for weight, field, length, usual in zip(WEIGHTS, fields, lengths[tool], average, strict=True):
            norm = 1 - B + B * length / usual
            for term, times in field.items():
                frequencies[term] += weight * times / norm
        for term, frequency in frequencies.items():
            weighed[term].append((tool, frequency))
    return {
        term: [(tool, _rarity(len(found), count) * frequency / (K1 + frequency)) for tool, frequency in found]
        for term, found in weighed.items()
    }


def _rarity(having: int, count: int) -> float:
    return math.log(1 + (count - having + 0.5) / (having + 0.5))
