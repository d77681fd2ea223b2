"""What it costs to build a turn's request from a long thread: ``python -m bench.context``.

A thread of 500 messages (turns of four: a question, a call, its result, an answer; 1 KB each) is fitted,
repaired and marked for a model of 200,000 tokens, as before each step. CPU time of one core.
"""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any

import msgspec

from gateway.inference.estimate import family_of, tokens_in_window
from kit.clock import SystemClock
from kit.db import Database
from threads.context.fitting import Cut
from threads.context.settings import ContextSettings
from threads.context.window import ContextWindow, TurnContext
from threads.journal import Journal
from threads.model_client import ModelFacts
from threads.models import Message, Turn

MESSAGES = 500
WINDOWS = (1_000_000, 60_000)
ROUNDS = 50
_WORDS = "The quick brown fox jumps over the lazy dog, then rests. " * 18


def history() -> list[Message]:
    return [_message(seq) for seq in range(1, MESSAGES + 2)]


def _message(seq: int) -> Message:
    kind, call = seq % 4, f"toolu_{seq // 4:08}"
    blocks: list[dict[str, Any]] = [{"type": "text", "text": _WORDS}]
    if kind == 2:
        blocks.append({"type": "tool_use", "id": call, "name": "look_up", "input": {"words": _WORDS[:200]}})
    elif kind == 3:
        blocks = [{"type": "tool_result", "tool_use_id": call, "content": blocks}]
    return Message(
        id=f"m{seq}", account_id="a", thread_id="t", seq=seq, role="user" if kind % 2 else "assistant",
        content=blocks, provider="anthropic", created_at=0,
    )  # fmt: skip


def facts(window: int) -> ModelFacts:
    family = family_of("anthropic", "anthropic", "claude-sonnet-4-5")
    return ModelFacts(
        models=frozenset({"claude-sonnet-4-5"}),
        providers=frozenset({"anthropic"}),
        context_window=window,
        default_max_tokens=4_096,
        native=True,
        prompt_caching=True,
        vision=True,
        tokens_of=lambda body: tokens_in_window({**body, "messages": []}, family),
        message_tokens=lambda message: tokens_in_window({"messages": [message]}, family),
    )


async def measured(build: Callable[[], Awaitable[object]]) -> float:
    """CPU milliseconds, the median of many."""
    taken = []
    for _ in range(ROUNDS):
        started = time.process_time_ns()
        await build()
        taken.append((time.process_time_ns() - started) / 1e6)
    return median(taken)


async def main() -> None:
    messages = history()
    turn = Turn(
        id="u", account_id="a", thread_id="t", key_id="k", status="running",
        params={"model": "m", "system": _WORDS}, user_seq=MESSAGES + 1, last_seq=MESSAGES + 1,
        created_at=0, updated_at=0,
    )  # fmt: skip
    folder = tempfile.TemporaryDirectory()
    db, clock = Database(f"sqlite:///{folder.name}/unused.db"), SystemClock()
    journal = Journal(db, clock, "bench")
    print("| window | messages sent | first step, ms | later steps, ms | as JSON, ms |")
    print("|--:|--:|--:|--:|--:|")
    for tokens in WINDOWS:
        known = facts(tokens)

        def begin(known: ModelFacts = known) -> TurnContext:
            return TurnContext(known, ContextSettings(), messages, Cut(), None, set())

        async def cold(begin: Callable[[], TurnContext] = begin) -> None:
            await ContextWindow(db, journal, None, clock).prepare(turn, begin(), None)  # type: ignore[arg-type]

        window, context = ContextWindow(db, journal, None, clock), begin()  # type: ignore[arg-type]

        async def warm(window: ContextWindow = window, context: TurnContext = context) -> None:
            await window.prepare(turn, context, None)

        first, later = await measured(cold), await measured(warm)
        body = (await window.prepare(turn, context, None)).body

        async def encoded(body: dict[str, Any] = body) -> None:
            msgspec.json.encode(body["messages"], order="deterministic")

        json = await measured(encoded)
        print(f"| {tokens:,} | {len(body['messages'])} | {first:.2f} | {later:.2f} | {json:.2f} |")
    await db.close()
    folder.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
