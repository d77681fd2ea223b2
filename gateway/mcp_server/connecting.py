"""When a call needs an account that its end user has not connected: sending the end user to connect it.

2026-07-28 answers with a request for input, whose answer comes with the call again; 2025-11-25 with an error
that names the page; to a client that opens no pages, the result says where the page is.
"""

import asyncio

import mcp_types
import msgspec
from mcp.server.request_state import RequestStateBoundary, RequestStateCodec, RequestStateSecurity
from mcp.shared.exceptions import MCPError, UrlElicitationRequiredError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS, is_version_at_least

from broker.calls import NeedsConnection
from connectors.connect import LIFETIME_MS
from connectors.connections import Connected, Connections
from gateway.mcp_server.principal import Principal, principal_of
from gateway.mcp_server.results import told
from kit.clock import Clock
from kit.ids import new_id

PURPOSE = "heddle mcp request state"
AUDIENCE = "heddle"
REQUEST = "connect"
"""Under which name the client is asked, and answers."""
FIRST_WITH_URLS = "2025-11-25"
LOOK_EVERY_S = 1.0
"""How late, at most, a connection that another process made is seen; this one's are seen at once."""


class Asked(msgspec.Struct, frozen=True):
    """What a client carries, sealed, until it calls again. Times in Unix milliseconds."""

    connector: str
    display_name: str
    connect_url: str
    expires_at: int
    asked_at: int


def sealed_states(codec: RequestStateCodec) -> RequestStateBoundary:
    """Seals what clients carry, for the same call of the same key and end user only."""
    security = RequestStateSecurity(
        codec=codec, ttl=LIFETIME_MS / 1000, bind_principal=lambda ctx: principal_of(ctx).binding
    )
    return RequestStateBoundary(security, default_audience=AUDIENCE)


class Connecting:
    def __init__(self, connections: Connections, clock: Clock, *, wait_s: float) -> None:
        """``wait_s``: how long a call waits for a connection whose page its end user has gone to."""
        self._connections = connections
        self._clock = clock
        self._wait_s = wait_s
        self._waiting: dict[tuple[str, str, str], set[asyncio.Event]] = {}
        connections.on_connected(self._connected)

    def ask(
        self, need: NeedsConnection, version: str, *, opens_urls: bool
    ) -> mcp_types.CallToolResult | mcp_types.InputRequiredResult:
        """Raises MCPError with 2025-11-25, whose way to ask it is."""
        asked = Asked(
            need.connector, need.display_name, need.connect_url, need.expires_at, self._clock.now_ms()
        )
        if not opens_urls or not is_version_at_least(version, FIRST_WITH_URLS):
            return told(
                f"{_wanted(asked)}. Ask them to open {asked.connect_url} (it is good for "
                f"{LIFETIME_MS // 60_000} minutes, once) and call the tool again when they have connected it."
            )
        if version in MODERN_PROTOCOL_VERSIONS:
            return _input_required(asked)
        raise UrlElicitationRequiredError(
            [
                mcp_types.ElicitRequestURLParams(
                    message=_wanted(asked), url=asked.connect_url, elicitation_id=new_id("elicit")
                )
            ],
            _wanted(asked),
        )

    async def answered(
        self, principal: Principal, params: mcp_types.CallToolRequestParams
    ) -> mcp_types.CallToolResult | mcp_types.InputRequiredResult | None:
        """What to say to a call that comes again; None if it can be made now, or begins anew.

        Raises MCPError for a state that is none of ours (it was opened before, so that is a fault of ours).
        """
        if params.request_state is None or principal.end_user_id is None:
            return None
        try:
            asked = msgspec.json.decode(params.request_state, type=Asked)
        except msgspec.MsgspecError:
            raise MCPError(mcp_types.INVALID_PARAMS, "Invalid or expired requestState") from None
        answer = (params.input_responses or {}).get(REQUEST)
        if isinstance(answer, mcp_types.ElicitResult) and answer.action != "accept":
            return told(f"The user did not want to connect {asked.display_name}; the tool was not called.")
        if await self._appears(asked, principal.caller.account_id, principal.end_user_id):
            return None
        return _input_required(asked) if self._clock.now_ms() < asked.expires_at else None

    async def _appears(self, asked: Asked, account_id: str, end_user_id: str) -> bool:
        key = (account_id, asked.connector, end_user_id)
        heard = asyncio.Event()
        self._waiting.setdefault(key, set()).add(heard)
        try:
            async with asyncio.timeout(self._wait_s):
                while not await self._is_there(asked, *key):
                    try:
                        async with asyncio.timeout(LOOK_EVERY_S):
                            await heard.wait()
                    except TimeoutError:
                        continue
                    heard.clear()
        except TimeoutError:
            return False
        finally:
            self._waiting[key].discard(heard)
            if not self._waiting[key]:
                del self._waiting[key]
        return True

    async def _is_there(self, asked: Asked, account_id: str, connector: str, end_user_id: str) -> bool:
        row = await self._connections.find(account_id, connector, end_user_id)
        return row is not None and row.status == "active" and row.updated_at >= asked.asked_at

    async def _connected(self, connected: Connected) -> None:
        key = (connected.account_id, connected.connector, connected.end_user_id)
        for heard in self._waiting.get(key, ()):
            heard.set()


def _wanted(asked: Asked) -> str:
    return f"The user must connect {asked.display_name} first"


def _input_required(asked: Asked) -> mcp_types.InputRequiredResult:
    question = mcp_types.ElicitRequest(
        params=mcp_types.ElicitRequestURLParams(message=_wanted(asked), url=asked.connect_url)
    )
    return mcp_types.InputRequiredResult(
        input_requests={REQUEST: question}, request_state=msgspec.json.encode(asked).decode()
    )
