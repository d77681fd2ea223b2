"""``/mcp``: who is asking, which age of the protocol, and the streams of the handshake revisions.

The SDK serves what is asked, each request by itself; what a session would remember, its id holds.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.mcp_server.access import Access
from gateway.mcp_server.origins import Origins
from gateway.mcp_server.principal import Principal
from gateway.mcp_server.running import RunningCalls, call_name
from gateway.mcp_server.sessions import HandshakeSession, Sessions
from gateway.mcp_server.watching import ToolWatch
from kit.errors import HeddleError, InvalidRequest, NotFound
from threads.event_stream import EventStream

SESSION_HEADER = "mcp-session-id"
VERSION_HEADER = "mcp-protocol-version"
METHODS = ("GET", "POST", "DELETE")
_CHANGED = b'event: message\ndata: {"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n\n'
_PING = b": ping\n\n"


class MethodNotAllowed(HeddleError):
    status, type, code = 405, "invalid_request_error", "method_not_allowed"


class NotAcceptable(HeddleError):
    status, type, code = 406, "invalid_request_error", "not_acceptable"


class McpEndpoint:
    """An ASGI application; ``start`` before the first request, ``stop_streams`` and ``close`` at the end."""

    def __init__(
        self,
        server: Server[Any],
        access: Access,
        origins: Origins,
        sessions: Sessions,
        running: RunningCalls,
        watch: ToolWatch,
        *,
        max_request_bytes: int,
    ) -> None:
        self._access = access
        self._origins = origins
        self._sessions = sessions
        self.running = running
        self.watch = watch
        self._manager = StreamableHTTPSessionManager(
            server, stateless=True, max_request_body_size=max_request_bytes
        )
        self._serving: asyncio.Task[None] | None = None
        self._end = asyncio.Event()

    async def start(self) -> None:
        await self.running.start()
        ready = asyncio.get_running_loop().create_future()
        self._serving = asyncio.create_task(self._serve(ready))
        await ready

    async def close(self) -> None:
        """Calls that are still under way are broken off."""
        self.stop_streams()
        self._end.set()
        if self._serving is not None:
            await self._serving
        await self.running.close()

    def stop_streams(self) -> None:
        """The process is about to stop: nobody pays for a call that is broken off from now on."""
        self.running.stopping = True
        self.watch.stop()

    async def _serve(self, ready: "asyncio.Future[None]") -> None:
        """What the SDK runs must be begun and ended by one task."""
        async with self._manager.run():
            ready.set_result(None)
            await self._end.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["headers"] = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        request = Request(
            scope, receive
        )  # HTTP servers leave blanks that are no part of a value (RFC 9110, 5.5)
        self._origins.check(request)
        version = request.headers.get(VERSION_HEADER)
        admitted = await self._access.admit(request)
        principal = Principal(
            admitted.caller, admitted.end_user_id, scope["request_id"], good_until=admitted.good_until
        )
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            principal.put_on(scope)
            await self._manager.handle_request(scope, receive, send)
            return
        session = self._session(request, principal)
        if session is not None:
            principal = dataclasses.replace(principal, end_user_id=session.end_user_id, session=session)
            _name_version(scope, session.version)
        principal.put_on(scope)
        if request.method == "POST":
            await self._post(request, principal, receive, send)
        elif request.method == "GET":
            await self._get(request, principal)(scope, receive, send)
        else:
            raise MethodNotAllowed(
                "sessions need not be ended: this server keeps nothing of them",
                headers={"allow": "GET, POST"},
            )

    def _session(self, request: Request, principal: Principal) -> HandshakeSession | None:
        """The session that the request names, if it does. Raises NotFound if that is no session of this key
        and this end user."""
        session_id = request.headers.get(SESSION_HEADER)
        if session_id is None:
            return None
        session = self._sessions.resume(session_id, principal.caller)
        if principal.end_user_id not in {None, session.end_user_id}:
            raise NotFound("this MCP session is another end user's", code="session_not_found")
        return session

    async def _post(self, request: Request, principal: Principal, receive: Receive, send: Send) -> None:
        body = await request.body()
        message = _decoded(body)
        if message.get("method") == "initialize":
            session_id = self._sessions.open(principal.caller, principal.end_user_id, message.get("params"))
            send = _with_session(send, session_id)
        elif message.get("method") == "notifications/cancelled" and principal.session is not None:
            params = message.get("params")
            request_id = params.get("requestId") if isinstance(params, dict) else None
            await self.running.cancel(call_name(request.headers[SESSION_HEADER], request_id))
            await Response(status_code=202)(request.scope, receive, send)
            return
        await self._manager.handle_request(request.scope, _again(body, receive), send)

    def _get(self, request: Request, principal: Principal) -> Response:
        """The stream on which a session is told of changes."""
        if "text/event-stream" not in request.headers.get("accept", ""):
            raise NotAcceptable("a GET opens a stream: it must accept text/event-stream")
        if principal.session is None:
            raise InvalidRequest(f"a stream belongs to a session: {SESSION_HEADER} is missing")
        self.watch.check_room()
        return EventStream(_frames(self.watch, principal), {SESSION_HEADER: request.headers[SESSION_HEADER]})


async def _frames(watch: ToolWatch, principal: Principal) -> AsyncIterator[bytes]:
    async with aclosing(watch.changes(principal)) as changes:
        async for changed in changes:
            yield _CHANGED if changed else _PING


def _decoded(body: bytes) -> dict[str, Any]:
    """The message, as far as it is one: the SDK says what is wrong with it."""
    try:
        message = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return message if isinstance(message, dict) else {}


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, and then whatever comes."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def _with_session(send: Send, session_id: str) -> Send:
    async def send_with_session(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            headers = [*message.get("headers", ()), (SESSION_HEADER.encode(), session_id.encode())]
            message = {**message, "headers": headers}
        await send(message)

    return send_with_session


def _name_version(scope: Scope, version: str) -> None:
    """A session's revision is known, also where its client does not repeat it."""
    if not any(name == VERSION_HEADER.encode() for name, _ in scope["headers"]):
        scope["headers"] = [*scope["headers"], (VERSION_HEADER.encode(), version.encode())]
