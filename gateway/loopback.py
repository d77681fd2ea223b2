"""Serving an ASGI application on a loopback port inside this process."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext, suppress

import uvicorn
from starlette.types import ASGIApp

KEEP_ALIVE_S = 75
"""Longer than clients keep an idle connection (5 s in httpx): a server that closes first meets, now and then,
a request that is already on its way, and the client sees it fail."""

GRACE_S = 1.0
TICK_S = 1.0
LOOK_EVERY_S = 0.002


class _PromptServer(uvicorn.Server):
    """Ends as soon as it is told to. uvicorn's own looks ten times a second, and sleeps while it ends."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        # The process that runs this handles its own signals.
        self.capture_signals = nullcontext  # type: ignore[method-assign,assignment]

    def end(self) -> None:
        self.should_exit = True
        self._told.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        grace_ends = time.monotonic() + GRACE_S
        state = self.server_state
        while (state.connections or state.tasks) and time.monotonic() < grace_ends:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_EVERY_S)
        for task in state.tasks:
            task.cancel()
        await self.lifespan.shutdown()


@asynccontextmanager
async def served(
    build: Callable[[str], ASGIApp], *, host: str = "127.0.0.1", port: int = 0, lifespan: bool = True
) -> AsyncIterator[str]:
    """Serve ``build(base_url)`` while the block runs; yields the base URL. ``port`` 0 picks a free one.

    Raises OSError if the address is taken.
    """
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle's algorithm on
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen()
    base_url = f"http://{host}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        build(base_url),
        lifespan="auto" if lifespan else "off",
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = _PromptServer(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(LOOK_EVERY_S)
        yield base_url
    finally:
        server.end()
        await task
        listener.close()
