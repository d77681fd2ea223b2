"""Running the simulated provider inside another process's event loop."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from gateway.loopback import served
from gateway.sim.app import SimApp


class SimServer:
    """The simulator on a loopback port, between ``start`` and ``stop``.

    ``app.seen`` holds the newest ``remember`` requests.
    """

    def __init__(self, *, remember: int = 0) -> None:
        self.app = SimApp(remember=remember)
        self._stack = AsyncExitStack()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; returns the base URL. Raises OSError if the address is taken."""
        return await self._stack.enter_async_context(
            served(lambda _url: self.app, host=host, port=port, lifespan=False)
        )

    async def stop(self) -> None:
        """Stop listening; requests that are still being answered get a second."""
        await self._stack.aclose()


@asynccontextmanager
async def sim_server() -> AsyncIterator[str]:
    """Run the simulator on a free loopback port while the block runs; yields its base URL."""
    server = SimServer()
    try:
        yield await server.start()
    finally:
        await server.stop()
