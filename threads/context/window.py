"""A turn's request: as much of its thread as the model can read, for as little money as it can be had."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError
from threads.context.caching import with_breakpoints
from threads.context.compaction import Compactor
from threads.context.estimates import Estimates
from threads.context.fitting import ContextTooLarge, Cut, How, begins_exchange, fit, shown
from threads.context.history import (
    compactions_of,
    earlier_tool_ids,
    newest_compaction,
    newest_messages,
)
from threads.context.portable import calm_thinking, portable
from threads.context.repair import Piece, build_context, tool_use_ids
from threads.context.settings import ContextSettings
from threads.context.untrusted import marked
from threads.journal import Journal
from threads.model_client import ModelClient, ModelFacts
from threads.models import Compaction, Message, Thread, Turn

logger = logging.getLogger("heddle.threads")

COMPACT_AT = 0.8
"""Of the room, where no threshold is set."""
KEPT_AFTER_COMPACTION = 0.3
"""Of the threshold: how much of the newest exchanges stays as it was said."""
MAX_SUMMARIES = 8
"""In a row, for one step: each covers as much as its model can read."""
SUMMARY = "Summary of the conversation so far, whose messages are no longer shown:\n\n"


@dataclass
class TurnContext:
    """What this process knows of a turn's context while it works on it. ``tool_ids`` are those that were used
    in the thread before."""

    facts: ModelFacts
    settings: ContextSettings
    history: list[Message]
    cut: Cut
    compaction: Compaction | None
    tool_ids: set[str]
    fixed_tokens: int | None = None
    summaries: int = 0
    """Made for this turn."""
    notes: list[str] = field(default_factory=list)
    compacts: bool = True
    """Until a summary has failed in this turn."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request's body; what the thread and the turn keep of how it was made."""

    body: dict[str, Any]
    cut: dict[str, Any] | None
    record: dict[str, Any]


class ContextWindow:
    def __init__(self, db: Database, journal: Journal, model: ModelClient, clock: Clock) -> None:
        self._db = db
        self._model = model
        self._compactor = Compactor(journal, model, clock)
        self._estimates = Estimates()

    async def open(self, turn: Turn, thread: Thread) -> TurnContext:
        """Read what the turn may need of its thread. Raises NotFound, Unsupported."""
        settings = ContextSettings.of(turn.context)
        facts = await self._model.facts(turn.account_id, turn.params["model"])
        if settings.model is not None:
            await self._model.facts(turn.account_id, settings.model)
        compaction = await newest_compaction(self._db, thread.id) if settings.policy == "compact" else None
        cut = Cut.of(thread.context_cut)
        limit = _limit(settings, facts)
        if settings.policy == "none" or (limit is not None and not cut.holds(limit)):
            cut = Cut()
        summarized = compaction.through_seq if compaction is not None else 0
        after = max(summarized, cut.start_seq - 1)
        history = await newest_messages(
            self._db,
            thread.id,
            after=after,
            through=turn.last_seq,
            enough=self._enough(turn, settings, facts, limit),
        )
        tool_ids = tool_use_ids(history)
        if history and history[0].seq > 1:
            tool_ids |= await earlier_tool_ids(self._db, thread.id)
        context = TurnContext(facts, settings, history, cut, compaction, tool_ids)
        if compaction is not None and turn.attempt > 1:
            context.summaries = await compactions_of(self._db, turn)
        return context

    def _enough(
        self, turn: Turn, settings: ContextSettings, facts: ModelFacts, limit: int | None
    ) -> Callable[[list[Message]], bool]:
        """Whether the messages read so far fill the window; for a summary all are needed. The current turn is
        read as a whole."""
        tokens = 0

        def enough(page: list[Message]) -> bool:
            nonlocal tokens
            if limit is None or settings.policy == "compact":
                return False
            tokens += sum(self._estimates.tokens(message, None, facts) for message in page)
            return tokens > limit and page[-1].seq <= turn.user_seq

        return enough

    async def prepare(
        self, turn: Turn, context: TurnContext, definitions: list[dict[str, Any]] | None
    ) -> Prepared:
        """The next step's request. Raises ContextTooLarge, Unsupported, LeaseLost."""
        base, limit = self._base(turn, context, definitions)
        if limit is not None:
            if context.settings.policy == "compact":
                await self._compact_if_due(turn, context, limit)
            context.cut = self._fitted(context, limit)
        body = self._body(turn, context, base)
        return Prepared(body, context.cut.as_json(), self._record(turn, context))

    def as_before(
        self, turn: Turn, context: TurnContext, definitions: list[dict[str, Any]] | None
    ) -> dict[str, Any]:
        """The request of a step that an earlier attempt made and died of: what it had to sum up, it did.
        Raises ContextTooLarge, Unsupported."""
        base, limit = self._base(turn, context, definitions)
        cut = context.cut if limit is None else self._fitted(context, limit)
        return self._body(turn, replace(context, cut=cut), base)

    def _base(
        self, turn: Turn, context: TurnContext, definitions: list[dict[str, Any]] | None
    ) -> tuple[dict[str, Any], int | None]:
        """The request without its messages, and the most input tokens that it may have."""
        facts = context.facts
        base: dict[str, Any] = {"max_tokens": facts.default_max_tokens, **turn.params}
        if definitions:
            base["tools"] = definitions
        if context.fixed_tokens is None:
            context.fixed_tokens = facts.tokens_of(base)
        return base, _limit(context.settings, facts, reserve=_reserve(base["max_tokens"], facts))

    def _body(self, turn: Turn, context: TurnContext, base: dict[str, Any]) -> dict[str, Any]:
        facts = context.facts
        messages = build_context(self._pieces(turn, context), plain_ids=facts.native)
        body = {**base, "messages": messages}
        if facts.native:
            body |= calm_thinking(turn.params, messages)
        return with_breakpoints(body, ours=context.settings.prompt_caching and facts.prompt_caching)

    def _fitted(self, context: TurnContext, limit: int) -> Cut:
        history, settings = _unsummarized(context), context.settings
        room = limit - self._fixed(context)
        try:
            if settings.policy != "none":
                cut = fit(history, self._tokens(context), room, settings.retention_ratio, context.cut)
                return cut if cut is context.cut else replace(cut, limit=_limit(settings, context.facts) or 0)
            total = sum(self._estimates.tokens(message, None, context.facts) for message in history)
            if total > room:
                raise ContextTooLarge(
                    f"the thread takes about {total} tokens, and the model has room for {max(room, 0)}",
                    param="content",
                    details={"input_tokens": total, "room_tokens": max(room, 0)},
                )
            return context.cut
        except ContextTooLarge as error:
            error.details |= {
                "context_window": context.facts.context_window,
                "max_input_tokens": settings.max_input_tokens,
                "instructions_and_tools_tokens": context.fixed_tokens,
            }
            raise

    async def _compact_if_due(self, turn: Turn, context: TurnContext, limit: int) -> None:
        """Sum up all but the newest exchanges once the context has grown beyond the threshold. A summary that
        fails leaves a note, and the rest to truncation."""
        threshold = min(context.settings.compact_threshold or int(COMPACT_AT * limit), limit)
        tokens = self._tokens(context)
        for _ in range(MAX_SUMMARIES):
            history = _unsummarized(context)
            total = self._fixed(context) + sum(tokens(one, context.cut.how(one)) for one in history)
            older = self._older(context, history, int(threshold * KEPT_AFTER_COMPACTION))
            if not context.compacts or total <= threshold or not older:
                return
            try:
                context.compaction = await self._compactor.compact(
                    turn, context.settings, context.compaction, older, number=context.summaries + 1
                )
            except HeddleError as error:
                logger.warning("no summary for turn %s: %s", turn.id, error.code)
                context.compacts = False
                context.notes.append(
                    f"the thread could not be summed up ({error.code}: {error.message}); where it does not "
                    "fit, its oldest messages are left out"
                )
                return
            context.summaries += 1

    def _older(self, context: TurnContext, history: list[Message], keep: int) -> list[Message]:
        """Whole exchanges that are not among the newest, which take at most ``keep`` tokens or are the
        current one."""
        tokens, total, kept_from = self._tokens(context), 0, None
        for index in range(len(history) - 1, -1, -1):
            total += tokens(history[index], context.cut.how(history[index]))
            if kept_from is not None and total > keep:
                break
            if begins_exchange(history[index]):
                kept_from = index
        return history[:kept_from] if kept_from is not None else []

    def _fixed(self, context: TurnContext) -> int:
        """What is there beside the messages: instructions, tools, the summary."""
        assert context.fixed_tokens is not None
        if context.compaction is None:
            return context.fixed_tokens
        return context.fixed_tokens + context.facts.message_tokens(_summary(context.compaction))

    def _tokens(self, context: TurnContext) -> Callable[[Message, How], int]:
        estimates, facts = self._estimates, context.facts
        return lambda message, how: estimates.tokens(message, how, facts)

    def _pieces(self, turn: Turn, context: TurnContext) -> list[Piece]:
        cut, facts = context.cut, context.facts
        pieces: list[Piece] = []
        if context.compaction is not None:
            pieces.append(("user", _summary(context.compaction)["content"]))
        for message in _unsummarized(context):
            if message.seq >= cut.start_seq:
                blocks = portable(message, facts, current=message.seq == turn.user_seq)
                pieces.append((message.role, marked(shown(blocks, cut.how(message)))))
        return pieces

    def _record(self, turn: Turn, context: TurnContext) -> dict[str, Any]:
        sent = [one.seq for one in _unsummarized(context) if one.seq >= context.cut.start_seq]
        return {
            "policy": context.settings.policy,
            "first_seq": sent[0] if sent else turn.user_seq,
            "summarized_through_seq": context.compaction.through_seq if context.compaction else None,
            "results_omitted_through_seq": context.cut.omitted_seq or None,
            "notes": list(context.notes),
        }


def _unsummarized(context: TurnContext) -> list[Message]:
    if context.compaction is None:
        return context.history
    through = context.compaction.through_seq
    return [message for message in context.history if message.seq > through]


def _summary(compaction: Compaction) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": SUMMARY + compaction.summary}]}


def _limit(settings: ContextSettings, facts: ModelFacts, *, reserve: int = 0) -> int | None:
    """The most input tokens, instructions and tools included, where ``reserve`` is left for the answer; None
    if nobody knows."""
    limits = [settings.max_input_tokens] if settings.max_input_tokens is not None else []
    if facts.context_window is not None:
        limits.append(facts.context_window - reserve)
    return min(limits, default=None)


def _reserve(max_tokens: Any, facts: ModelFacts) -> int:
    return max_tokens if type(max_tokens) is int else facts.default_max_tokens
