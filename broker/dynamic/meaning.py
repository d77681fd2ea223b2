"""Finding tools by their meaning, where there is a model for it: vectors of tools, made once, kept in memory.

Invariants: an account pays for the vectors of its own tools, and compares with nothing but these; a search
never waits for them: until they are there, and whenever the model does not answer, words decide.
"""

import asyncio
import hashlib
import heapq
import logging
import math
import time
from array import array
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Literal, Protocol

from broker.calls import ToolScope
from kit.errors import HeddleError

logger = logging.getLogger("heddle.broker")

Purpose = Literal["search_index", "search_query"]
QUERY_WITHIN_S = 2.0
BATCH_WITHIN_S = 60.0
TEXTS_AT_ONCE = 32
FAILED_PAUSE_S = 60.0
REFUSED = "provider_refused"
"""The code of an error about the texts themselves."""
MAX_TOOLS = 2_000
"""What has more is searched by words: its vectors would take the place of everybody else's."""
MAX_KEPT_BYTES = 128 * 1024 * 1024
SKETCHED = 64
"""How many are compared by their numbers, once all have been by the signs of these."""
NEAREST = 20
MIN_SIMILARITY = 0.1
RANK_CONSTANT = 60
"""The ``k`` of reciprocal rank fusion, as its authors chose it (Cormack, Clarke, Büttcher, SIGIR 2009)."""


class ToolEmbeddings(Protocol):
    """Metered embeddings."""

    async def embed(
        self, scope: ToolScope, key_id: str, purpose: Purpose, texts: Sequence[str]
    ) -> Sequence[Sequence[float]]:
        """One vector for each text, all of one length. Raises PaymentRequired (nothing sent) or another
        HeddleError."""
        ...


@dataclass(frozen=True, slots=True)
class _Vector:
    """Of length 1. ``signs``: a bit for each number, set where it is above 0."""

    numbers: "array[float]"
    signs: int

    @classmethod
    def of(cls, numbers: Sequence[float]) -> "_Vector | None":
        """None if it has no direction."""
        length = math.sqrt(math.fsum(number * number for number in numbers))
        if not length or not math.isfinite(length):
            return None
        signs = int("".join("1" if number > 0 else "0" for number in numbers), 2)
        return cls(array("f", [number / length for number in numbers]), signs)

    def likeness(self, other: "_Vector") -> float:
        return math.fsum(map(mul, self.numbers, other.numbers))


class Meaning:
    def __init__(self, model: ToolEmbeddings) -> None:
        self._model = model
        self._vectors: OrderedDict[tuple[str, bytes], _Vector | None] = OrderedDict()
        self._bytes = 0
        self._making: dict[str, asyncio.Task[None]] = {}
        self._paused_until: dict[str, float] = {}

    async def close(self) -> None:
        for task in list(self._making.values()):
            task.cancel()
        if self._making:
            await asyncio.wait(self._making.values())

    async def nearest(
        self,
        scope: ToolScope,
        key_id: str,
        texts: Sequence[str],
        intent: str,
        *,
        among: Collection[int] | None,
    ) -> list[int]:
        """The tools, by the place of their texts, that are most like an intent; none if that is not known
        yet, or cannot be."""
        account_id = scope.account_id
        paused = self._paused_until.get(account_id, 0.0) > time.monotonic()
        if paused or len(texts) > MAX_TOOLS:
            return []
        keys = [(account_id, hashlib.sha256(text.encode()).digest()) for text in texts]
        missing = [at for at, key in enumerate(keys) if key not in self._vectors]
        if missing:
            self._make(scope, key_id, [(keys[at], texts[at]) for at in missing])
            return []
        asked = await self._asked(scope, key_id, intent)
        return [] if asked is None else self._most_like(asked, keys, among)

    async def made(self, account_id: str) -> None:
        """Until the vectors that are being made are there, or cannot be."""
        task = self._making.get(account_id)
        if task is not None:
            await asyncio.wait({task})

    def _most_like(
        self, asked: _Vector, keys: Sequence[tuple[str, bytes]], among: Collection[int] | None
    ) -> list[int]:
        compared = range(len(keys)) if among is None else among
        known = [(at, vector) for at in compared if (vector := self._vectors.get(keys[at])) is not None]
        for key in keys:
            if key in self._vectors:
                self._vectors.move_to_end(key)
        sketched = heapq.nsmallest(SKETCHED, known, key=lambda one: (asked.signs ^ one[1].signs).bit_count())
        likeness = [
            (asked.likeness(vector), at)
            for at, vector in sketched
            if len(vector.numbers) == len(asked.numbers)
        ]
        return [at for like, at in heapq.nlargest(NEAREST, likeness) if like >= MIN_SIMILARITY]

    async def _asked(self, scope: ToolScope, key_id: str, intent: str) -> _Vector | None:
        try:
            async with asyncio.timeout(QUERY_WITHIN_S):
                (numbers,) = await self._model.embed(scope, key_id, "search_query", [intent])
        except (HeddleError, TimeoutError) as problem:
            logger.info("a tool search goes by words: %s", getattr(problem, "code", "too slow"))
            self._pause(scope.account_id)
            return None
        return _Vector.of(numbers)

    def _make(self, scope: ToolScope, key_id: str, wanted: list[tuple[tuple[str, bytes], str]]) -> None:
        account_id = scope.account_id
        if account_id in self._making:
            return
        task = self._making[account_id] = asyncio.create_task(self._made(scope, key_id, wanted))
        task.add_done_callback(lambda _: self._making.pop(account_id, None))

    async def _made(self, scope: ToolScope, key_id: str, wanted: list[tuple[tuple[str, bytes], str]]) -> None:
        """Tools are the account's: no end user's budget pays for their vectors."""
        of_account = ToolScope(scope.account_id)
        try:
            for start in range(0, len(wanted), TEXTS_AT_ONCE):
                await self._embed(of_account, key_id, wanted[start : start + TEXTS_AT_ONCE])
        except (HeddleError, TimeoutError) as problem:
            logger.info("tools have no vectors: %s", getattr(problem, "code", "too slow"))
            self._pause(scope.account_id)
        except Exception:
            logger.exception("vectors of tools could not be made")
            self._pause(scope.account_id)

    async def _embed(self, scope: ToolScope, key_id: str, batch: list[tuple[tuple[str, bytes], str]]) -> None:
        """Texts that are refused are tried in smaller parts, and the culprits left without a vector."""
        try:
            async with asyncio.timeout(BATCH_WITHIN_S):
                made = await self._model.embed(scope, key_id, "search_index", [text for _, text in batch])
        except HeddleError as problem:
            if problem.code != REFUSED:
                raise
            if len(batch) == 1:
                self._keep(batch[0][0], None)
                return
            half = len(batch) // 2
            await self._embed(scope, key_id, batch[:half])
            await self._embed(scope, key_id, batch[half:])
            return
        for (key, _), numbers in zip(batch, made, strict=True):
            self._keep(key, _Vector.of(numbers))

    def _keep(self, key: tuple[str, bytes], vector: _Vector | None) -> None:
        self._vectors[key] = vector
        self._bytes += _size(vector)
        while self._bytes > MAX_KEPT_BYTES:
            _, dropped = self._vectors.popitem(last=False)
            self._bytes -= _size(dropped)

    def _pause(self, account_id: str) -> None:
        now = time.monotonic()
        self._paused_until = {who: until for who, until in self._paused_until.items() if until > now}
        self._paused_until[account_id] = now + FAILED_PAUSE_S


def fused(*rankings: Sequence[int], limit: int) -> list[int]:
    """Reciprocal rank fusion: each ranking gives what is in it 1 / (60 + its place, from 1 on)."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for place, tool in enumerate(ranking, 1):
            scores[tool] = scores.get(tool, 0.0) + 1 / (RANK_CONSTANT + place)
    return heapq.nlargest(limit, scores, key=lambda tool: (scores[tool], -tool))


def _size(vector: _Vector | None) -> int:
    return 0 if vector is None else len(vector.numbers) * 5
