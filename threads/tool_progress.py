"""How far a tool's call is, for those who watch its turn."""

import asyncio
import math
from typing import Any

from threads.models import ToolCallRow
from threads.steps import TurnRun

AT_MOST_EVERY_S = 0.25
MAX_MESSAGE_CHARS = 1_000


class ToolProgress:
    """Publishes what a server tells, at most four times a second: of what comes faster, the newest. However
    much a server tells, the log of events stays small."""

    def __init__(self, run: TurnRun, call: ToolCallRow) -> None:
        self._run = run
        self._event = run.call_event("tool_progress", call)
        self._newest: dict[str, Any] | None = None
        self._next_at = 0.0
        self._over = False

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        if self._over or not math.isfinite(progress):
            return
        self._newest = {**self._event, "progress": progress}
        if total is not None and math.isfinite(total):
            self._newest["total"] = total
        if message is not None:
            self._newest["message"] = message[:MAX_MESSAGE_CHARS]
        now = asyncio.get_running_loop().time()
        if now >= self._next_at:
            self._next_at = now + AT_MOST_EVERY_S
            await self._publish()

    async def end(self) -> None:
        """The call is over: the newest is published, and nothing after it."""
        self._over = True
        await self._publish()

    async def _publish(self) -> None:
        event, self._newest = self._newest, None
        if event is not None:
            await self._run.live.interject(event)
