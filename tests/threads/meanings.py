"""A model whose vectors know a few synonyms, and what happens between it and its money."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kit.db import Database
from kit.errors import HeddleError
from threads.embedding_model import EmbeddingPayer, Purpose, TextsRefused, Vector, VectorRecorder
from threads.search_terms import tokens

SYNONYMS = {"car": 0, "automobile": 0, "vehicle": 0, "doctor": 1, "physician": 1, "canary": 2, "songbird": 2}
OTHER = 8
"""Words without a meaning share the rest of the dimensions."""


def meaning(text: str, dimensions: int) -> list[float]:
    vector = [0.0] * dimensions
    for token in tokens(text):
        place = SYNONYMS.get(token.text)
        if place is not None:
            vector[place] += 3.0
        else:
            vector[OTHER + sum(map(ord, token.text)) % (dimensions - OTHER)] += 1.0
    return vector


@dataclass
class Meanings:
    """Implements ``threads.embedding_model.EmbeddingModel``: settles in the database, and notes who paid."""

    db: Database
    space: str = "test/meanings"
    dimensions: int = 16
    refusal: HeddleError | None = None
    poison: str | None = None
    """A text with this in it is refused by the provider."""
    asked: list[tuple[EmbeddingPayer, Purpose, tuple[str, ...]]] = field(default_factory=list)

    async def embed(
        self,
        payer: EmbeddingPayer,
        purpose: Purpose,
        texts: Sequence[str],
        record: VectorRecorder | None = None,
    ) -> Sequence[Vector]:
        if self.refusal is not None:
            raise self.refusal
        if self.poison is not None and any(self.poison in text for text in texts):
            raise TextsRefused("one of the texts is not liked")
        self.asked.append((payer, purpose, tuple(texts)))
        vectors = [meaning(text, self.dimensions) for text in texts]
        if record is not None:
            await self.db.write(lambda session: record(session, vectors))
        return vectors
