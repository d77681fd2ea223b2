"""One open SDK client to one MCP server with one credential."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import mcp_types
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from broker.mcp_interaction import InteractiveClient, interactive_client
from broker.mcp_transport import MAX_BODY_BYTES, TRACE, HttpTrace, RequestHeaders, SharedTransport

logger = logging.getLogger("heddle.broker")

OPEN_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class StdioServer:
    """An MCP server that the operator lets Heddle start as a process of its own."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class McpTarget:
    """A server and a credential. ``key`` (server, credential) names the pair in the pool; ``headers`` may
    change under it when the credential is renewed."""

    key: tuple[str, str]
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdio: StdioServer | None = None
    sampling: bool = False
    """Whether the server may have models called."""


class McpUnavailable(Exception):
    """No connection to the server could be opened; ``unauthorized``: it answered 401."""

    def __init__(self, message: str, *, unauthorized: bool = False) -> None:
        super().__init__(message)
        self.unauthorized = unauthorized


class McpConnection:
    """An open SDK client. It lives in a task of its own, since it must be closed where it was opened."""

    def __init__(self, target: McpTarget, transport: SharedTransport) -> None:
        self.key = target.key
        self.borrowers = 0
        self.last_used = 0.0
        self.retired = False
        self.calls = 0
        self._target = target
        self._transport = transport
        self._headers = RequestHeaders(target.headers)
        self._ready: asyncio.Future[InteractiveClient] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._opening = HttpTrace()
        self._task = asyncio.create_task(self._live())

    @property
    def dead(self) -> bool:
        return self._task.done()

    async def client(self, headers: Mapping[str, str]) -> InteractiveClient:
        """The open client, carrying these headers from now on. Raises McpUnavailable."""
        self._headers.headers = dict(headers)
        return await asyncio.shield(self._ready)

    async def close(self) -> None:
        """End the session, politely if that is quick."""
        self._stop.set()
        done: set[asyncio.Task[None]] = set()
        if self._ready.done():
            done, _ = await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT_S)
        if not done:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _live(self) -> None:
        TRACE.set(self._opening)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S) as limit, self._open() as client:
                limit.reschedule(None)
                client.session.validate_tool_result = _accept_any_output  # type: ignore[method-assign, assignment]
                self._ready.set_result(client)
                await self._stop.wait()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._ended(error)
        finally:
            if not self._ready.done():
                self._fail(McpUnavailable("the connection was closed"))

    def _ended(self, error: BaseException) -> None:
        if self._ready.done():
            logger.info("a connection to MCP server %s ended: %s", self.key[0], _reason(error))
        else:
            self._fail(McpUnavailable(_reason(error), unauthorized=self._opening.unauthorized))

    def _fail(self, error: McpUnavailable) -> None:
        self._ready.set_exception(error)
        self._ready.exception()  # nobody may be waiting any more

    def _open(self) -> InteractiveClient:
        target = self._target
        if target.stdio is not None:
            own = target.stdio
            server: Any = StdioServerParameters(
                command=own.command, args=list(own.args), env=dict(own.env) or None
            )
        else:
            assert target.url is not None
            server = streamable_http_client(
                target.url,
                http_client=self._transport.client(self._headers),
                max_sse_event_size=MAX_BODY_BYTES,
            )
        return interactive_client(server, tasks=target.stdio is None, sampling=target.sampling)


async def _accept_any_output(_name: str, _result: mcp_types.CallToolResult) -> None:
    """In place of the SDK's check of a result against the server's own output schema.

    That check runs the server's regular expressions with Python's ``re`` on our event loop, where a
    hostile pattern would stop the whole process; and it asks for the tool list after the first call.
    """


def _reason(error: BaseException) -> str:
    """The innermost cause of what the SDK raised, without its groups."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return type(error).__name__
