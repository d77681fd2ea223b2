"""Hearing from servers that their tool list changed.

A server of the stateless revisions is listened to on one long request (2026-07-28, "subscriptions/listen"),
which holds a socket: so only while its connection is kept, that is in recent use, not for the first
seconds, which is as long as most connections are needed, and only so many at once.
All others are listed again when their list is old. What a server says unasked on a stream that is open
anyway (of a call, or a process's pipe) is heard without limit.
"""

import asyncio
import logging
from collections.abc import Callable

from anyio import ClosedResourceError
from mcp import MCPError
from mcp.client import Client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp_types import ToolListChangedNotification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

logger = logging.getLogger("heddle.broker")

MAX_LISTENED_TO = 64
LISTEN_AFTER_S = 10.0
AGAIN_AFTER_S = 30.0

Key = tuple[str, str]
OnChange = Callable[[Key], None]


class ListChanges:
    """``on_change`` is told the server and credential whose tool list changed."""

    def __init__(
        self, *, max_listened_to: int = MAX_LISTENED_TO, listen_after_s: float = LISTEN_AFTER_S
    ) -> None:
        self.on_change: OnChange | None = None
        self._free = max_listened_to
        self._listen_after_s = listen_after_s

    def heard(self, key: Key, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._tell(key)

    async def listen(self, key: Key, client: Client) -> None:
        """Listen until cancelled, if the server offers it and there is room."""
        tools = client.server_capabilities.tools
        announced = tools is not None and tools.list_changed
        if not announced or client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            return
        await asyncio.sleep(self._listen_after_s)
        if self._free <= 0:
            return
        self._free -= 1
        try:
            while True:
                if not await self._listen_once(key, client):
                    return
                await asyncio.sleep(AGAIN_AFTER_S)
        finally:
            self._free += 1

    async def _listen_once(self, key: Key, client: Client) -> bool:
        """Whether to listen again: a stream that broke off may do so, a refusal stands."""
        try:
            async with client.listen(tools_list_changed=True) as subscription:
                async for _ in subscription:
                    self._tell(key)
            return True
        except SubscriptionLost:
            self._tell(key)  # what happened meanwhile is not known
            return True
        except (MCPError, ListenNotSupportedError, TimeoutError, ClosedResourceError) as refusal:
            logger.info("MCP server %s is not listened to: %s", key[0], type(refusal).__name__)
            return False

    def _tell(self, key: Key) -> None:
        if self.on_change is not None:
            self.on_change(key)
