"""Calls under way, and how their clients call them off.

A client of 2026-07-28 closes the stream of the answer, which cancels whoever makes it. One of a handshake
revision posts a notification, perhaps to another process: it is passed on to all of them.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import anyio
import msgspec
from mcp.server.streamable_http import REQUEST_CANCELLED
from mcp.shared.exceptions import MCPError

from kit.db import Database
from threads.wakes import Wakes

CHANNEL = "heddle_mcp_cancel"
T = TypeVar("T")


def call_name(session_id: str, request_id: Any) -> str:
    """What a call is cancelled by: the session's own id for it, which others cannot guess."""
    return hashlib.sha256(msgspec.json.encode([session_id, request_id])).hexdigest()


class RunningCalls:
    def __init__(self, db: Database) -> None:
        self._tasks: dict[str, asyncio.Task[Any]] = {}
        self._wakes = Wakes(db, self._cancel_here, CHANNEL)
        self._count = 0
        self.stopping = False
        """Whether calls are cancelled now because the process ends, and not by their clients."""

    async def start(self) -> None:
        await self._wakes.start()

    async def close(self) -> None:
        await self._wakes.close()

    def __len__(self) -> int:
        return self._count

    async def cancel(self, name: str) -> None:
        """Whoever runs this call is to break it off, in whatever process."""
        if name in self._tasks:
            self._cancel_here(name)
        else:
            await self._wakes.wake(name)

    async def run(self, name: str | None, work: Callable[[Callable[[], bool]], Coroutine[Any, Any, T]]) -> T:
        """``work`` to its end; it is given whether its client called it off, for when it is cancelled.
        Raises MCPError if that was by its ``name``."""
        task = asyncio.create_task(work(lambda: not self.stopping))
        if name is not None:
            self._tasks[name] = task
        self._count += 1
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({task})
            if not task.cancelled():
                task.exception()  # nobody is there to hear of it
            raise
        finally:
            self._count -= 1
            if name is not None and self._tasks.get(name) is task:
                del self._tasks[name]
        if task.cancelled():
            raise MCPError(code=REQUEST_CANCELLED, message="Request cancelled")
        return task.result()

    def _cancel_here(self, name: str) -> None:
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()
