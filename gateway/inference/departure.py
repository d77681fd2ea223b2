"""Noticing that a client has gone while its request is being worked on."""

import asyncio
from types import TracebackType

from starlette.types import Receive

GRACE_S = 0.05
"""Nobody listens for this long: most calls are over by then, and listening costs a task."""


class ClientGone(Exception):
    """The client went away before it had its answer."""


class Departure:
    """Cancels the task that is in its block once the client has gone: ``with Departure(receive): …``.

    The block sees CancelledError where it waits; what leaves the block then is ClientGone. The request's
    body must have been received before.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False
        self._listening: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None, "a request is handled in a task"
        self._task = task
        self._timer = loop.call_later(GRACE_S, self._start)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if self._listening is not None:
            self._listening.cancel()
        if self._gone and kind is not None and issubclass(kind, asyncio.CancelledError):
            if self._task.uncancel() > 0:
                return  # somebody else wants the task to end too
            raise ClientGone from None

    def _start(self) -> None:
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()
