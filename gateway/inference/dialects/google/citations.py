"""Grounding and citation metadata of a candidate as citations of its texts.

Google counts bytes of UTF-8 (API reference: Segment); the neutral form counts characters.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.inference.dialects.google import NAME
from gateway.inference.dialects.neutral import Citation


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of the answer, in bytes, and its sources."""

    text: str
    start: int
    end: int
    sources: tuple[Citation, ...]

    def within(self, answer: str) -> tuple[int, int] | None:
        """Its characters in a text of the answer; None if it is not there."""
        encoded = answer.encode("utf-8", "replace")
        passage = encoded[self.start : self.end]
        if self.start < self.end <= len(encoded) and passage.decode("utf-8", "replace") == (
            self.text or passage.decode("utf-8", "replace")
        ):
            start = len(encoded[: self.start].decode("utf-8", "replace"))
            return start, start + len(passage.decode("utf-8", "replace"))
        start = answer.find(self.text) if self.text else -1
        return (start, start + len(self.text)) if start >= 0 else None

    def cited(self, place: tuple[int, int] | None) -> list[Citation]:
        start, end = place or (None, None)
        return [
            Citation(
                dialect=NAME,
                data=source.data,
                url=source.url,
                title=source.title,
                cited_text=source.cited_text,
                start=start,
                end=end,
            )
            for source in self.sources
        ]


def passages(candidate: Mapping[str, Any]) -> list[Passage]:
    """What a candidate says of its sources; anything malformed in it is passed over."""
    return [*_grounded(candidate.get("groundingMetadata")), *_recited(candidate.get("citationMetadata"))]


def _grounded(metadata: Any) -> Iterator[Passage]:
    if not isinstance(metadata, dict):
        return
    chunks = _dicts(metadata.get("groundingChunks"), keep_places=True)
    for support in _dicts(metadata.get("groundingSupports")):
        segment = support.get("segment")
        indexes = support.get("groundingChunkIndices")
        if not isinstance(segment, dict) or not isinstance(indexes, list):
            continue
        sources = tuple(
            _source(chunks[index], segment)
            for index in indexes
            if isinstance(index, int) and 0 <= index < len(chunks)
        )
        text = segment.get("text")
        if sources:
            start, end = _count(segment.get("startIndex")), _count(segment.get("endIndex"))
            yield Passage(text if isinstance(text, str) else "", start, end, sources)


def _source(chunk: dict[str, Any], segment: dict[str, Any]) -> Citation:
    """A chunk is an object with one field: web, retrievedContext, maps, image."""
    found = next((value for value in chunk.values() if isinstance(value, dict)), {})
    texts = {name: value for name, value in found.items() if isinstance(value, str)}
    return Citation(
        dialect=NAME,
        data={"groundingChunk": chunk, "segment": segment},
        url=texts.get("uri"),
        title=texts.get("title") or texts.get("fileSearchStore"),
        cited_text=texts.get("text"),
    )


def _recited(metadata: Any) -> Iterator[Passage]:
    if not isinstance(metadata, dict):
        return
    for source in _dicts(metadata.get("citationSources") or metadata.get("citations")):
        url, title = source.get("uri"), source.get("title")
        citation = Citation(
            dialect=NAME,
            data=source,
            url=url if isinstance(url, str) else None,
            title=title if isinstance(title, str) else None,
        )
        yield Passage("", _count(source.get("startIndex")), _count(source.get("endIndex")), (citation,))


def _dicts(values: Any, *, keep_places: bool = False) -> list[dict[str, Any]]:
    found = values if isinstance(values, list) else []
    if keep_places:
        return [value if isinstance(value, dict) else {} for value in found]
    return [value for value in found if isinstance(value, dict)]


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value >= 0 else 0
