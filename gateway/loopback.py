"""Serving an ASGI application on a loopback port inside this process."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext

import uvicorn
from starlette.types import ASGIApp


@asynccontextmanager
async def served(
    build: Callable[[str], ASGIApp], *, lifespan: bool = True, port: int = 0
) -> AsyncIterator[str]:
    """Serve ``build(base_url)`` while the block runs, on a free port by default; yields the base URL."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    base_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        build(base_url),
        lifespan="auto" if lifespan else "off",
        access_log=False,
        log_config=None,
        log_level="critical",
        timeout_graceful_shutdown=1,
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
