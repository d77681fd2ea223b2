"""Serving an ASGI application on a loopback port inside this process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext

import uvicorn
from starlette.types import ASGIApp

KEEP_ALIVE_S = 75
"""Longer than clients keep an idle connection (5 s in httpx): a server that closes first meets, now and then,
a request that is already on its way, and the client sees it fail."""


@asynccontextmanager
async def served(
    build: Callable[[str], ASGIApp], *, host: str = "127.0.0.1", port: int = 0, lifespan: bool = True
) -> AsyncIterator[str]:
    """Serve ``build(base_url)`` while the block runs; yields the base URL. ``port`` 0 picks a free one.

    Raises OSError if the address is taken.
    """
    listener = socket.create_server((host, port))
    base_url = f"http://{host}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        build(base_url),
        lifespan="auto" if lifespan else "off",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = uvicorn.Server(config)
    # The process that runs this handles its own signals.
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        yield base_url
    finally:
        server.should_exit = True
        await task
        listener.close()
