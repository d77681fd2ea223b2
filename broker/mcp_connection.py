"""One open SDK client to one MCP server with one credential."""

import asyncio
import functools
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import mcp_types
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from broker.mcp_changes import ListChanges
from broker.mcp_era import Era, Eras
from broker.mcp_interaction import InteractiveClient, interactive_client
from broker.mcp_listing import BadListing, read_listing
from broker.mcp_stdio import StdioServer, stdio_transport
from broker.mcp_transport import MAX_BODY_BYTES, TRACE, HttpTrace, RequestHeaders, SharedTransport

logger = logging.getLogger("heddle.broker")

OPEN_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class McpTarget:
    """A server and a credential. ``key`` (server, credential) names the pair in the pool; ``headers`` may
    change under it when the credential is renewed. ``account_id``: whose connections it counts among;
    ``sampling``: whether the server may have models called."""

    key: tuple[str, str]
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdio: StdioServer | None = None
    account_id: str = ""
    sampling: bool = False


class McpUnavailable(Exception):
    """No connection to the server could be opened; ``unauthorized``: it answered 401; ``missing_scopes``: it
    answered 403 and asked for these; ``outdated``: it was opened as the server spoke when last seen."""

    def __init__(
        self,
        message: str,
        *,
        unauthorized: bool = False,
        missing_scopes: tuple[str, ...] | None = None,
        outdated: bool = False,
    ) -> None:
        super().__init__(message)
        self.unauthorized, self.missing_scopes, self.outdated = unauthorized, missing_scopes, outdated


class McpBusy(McpUnavailable):
    """None can be opened for now; the message says why."""


class McpConnection:
    """An open SDK client. It lives in a task of its own, since it must be closed where it was opened."""

    def __init__(
        self, target: McpTarget, transport: SharedTransport, eras: Eras, changes: ListChanges
    ) -> None:
        self.key = target.key
        self.account_id = target.account_id
        self.is_process = target.stdio is not None
        self.borrowers = 0
        self.last_used = 0.0
        self.retired = False
        self.calls = self.answers = 0
        self.broke_off = False
        loop = asyncio.get_running_loop()
        self.began_at, self.ended_at = loop.time(), 0.0
        self._target = target
        self._transport = transport
        self._eras, self._changes = eras, changes
        self._era = None if self.is_process else eras.get(target.key[0], loop.time())
        self._headers = RequestHeaders(target.headers)
        self._ready: asyncio.Future[InteractiveClient] = loop.create_future()
        self._stop = asyncio.Event()
        self._opening = HttpTrace()
        self._task = asyncio.create_task(self._live())

    @property
    def dead(self) -> bool:
        return self._task.done()

    @property
    def assumed(self) -> bool:
        """Whether it was opened without asking which age of the protocol the server speaks."""
        return self._era is not None

    @property
    def is_modern(self) -> bool:
        """Whether the server speaks a stateless revision; only of one that is open."""
        return self._ready.result().protocol_version in MODERN_PROTOCOL_VERSIONS

    async def client(self, headers: Mapping[str, str]) -> InteractiveClient:
        """The open client, carrying these headers from now on. Raises McpUnavailable."""
        self._headers.headers = dict(headers)
        return self._ready.result() if self._ready.done() else await asyncio.shield(self._ready)

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
            async with asyncio.timeout(OPEN_TIMEOUT_S) as limit, self._open(self._era) as client:
                limit.reschedule(None)
                client.session.validate_tool_result = _accept_any_output  # type: ignore[method-assign, assignment]
                client._relist_tool = functools.partial(_list_again, client)  # type: ignore[method-assign]
                self._eras.learn(self.key[0], client.session, asyncio.get_running_loop().time())
                self._ready.set_result(client)
                await self._stay(client)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._ended(error)
        finally:
            self.ended_at = asyncio.get_running_loop().time()
            if not self._ready.done():
                self._fail(McpUnavailable("the connection was closed"))

    async def _stay(self, client: Client) -> None:
        listening = asyncio.create_task(self._changes.listen(self.key, client))
        try:
            await self._stop.wait()
        finally:
            listening.cancel()
            await asyncio.wait({listening})

    def _ended(self, error: BaseException) -> None:
        if self._ready.done():
            logger.info("a connection to MCP server %s ended: %s", self.key[0], _reason(error))
            return
        self._eras.forget(self.key[0])
        opening = self._opening
        unavailable = McpUnavailable(
            _reason(error),
            unauthorized=opening.unauthorized,
            missing_scopes=opening.missing_scopes,
            outdated=self.assumed and not opening.errors and not opening.unauthorized,
        )
        self._fail(unavailable)

    def _fail(self, error: McpUnavailable) -> None:
        self._ready.set_exception(error)
        self._ready.exception()  # nobody may be waiting any more

    def _open(self, era: Era | None) -> InteractiveClient:
        target = self._target
        if target.stdio is not None:
            server: Any = stdio_transport(target.stdio, target.key[0])
        else:
            assert target.url is not None
            server = streamable_http_client(
                target.url,
                http_client=self._transport.client(self._headers),
                max_sse_event_size=MAX_BODY_BYTES,
            )
        return interactive_client(
            server,
            tasks=target.stdio is None,
            sampling=target.sampling,
            mode="auto" if era is None else era.mode,
            prior_discover=None if era is None else era.discovered,
            message_handler=self._heard,
        )

    async def _heard(self, message: object) -> None:
        self._changes.heard(self.key, message)


async def _accept_any_output(_name: str, _result: mcp_types.CallToolResult) -> None:
    """In place of the SDK's check of a result against the server's own output schema.

    That check runs the server's regular expressions with Python's ``re`` on our event loop, where a
    hostile pattern would stop the whole process; and it asks for the tool list after the first call.
    """


async def _list_again(client: Client, _name: str) -> None:
    """In place of what the SDK does when a server finds a parameter's header missing or wrong (-32020): its
    own listing keeps every output schema of up to a hundred pages for as long as the client is open."""
    with suppress(BadListing):  # the call is sent again, and its refusal stands
        await read_listing(client)


def _reason(error: BaseException) -> str:
    """The innermost cause of what the SDK raised, without its groups."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return type(error).__name__
