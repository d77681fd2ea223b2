"""Telling clients that their tools have changed: streams that wait for it, a bounded number of them.

A stream ends when its key is revoked or its token expires, when the process stops, and when its account opens
more of them than it may: the oldest goes, since it is the likeliest to have nobody at its other end any more.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlmodel import col, func, select

from broker.broker import Broker
from broker.calls import ToolSelection
from broker.models import McpServer, Tool
from connectors.models import Connection
from gateway.mcp_server.listing import listed
from gateway.mcp_server.principal import Principal
from kit.clock import Clock
from kit.db import Database
from kit.errors import HeddleError, UpstreamUnavailable
from threads.lookout import Lookout

POLL_EVERY_S = 1.0
"""How late, at most, changes that other processes make are seen; this one's are seen at once."""
PING_EVERY_S = 15.0
MAX_STREAMS = 2000
MAX_STREAMS_PER_ACCOUNT = 200

_Stamp = tuple[Any, ...]
"""Of an account's tools, servers and connections: it moves with every change of what there is."""


class TooManyStreams(UpstreamUnavailable):
    code = "too_many_streams"


@dataclass(eq=False)
class _Stream:
    account_id: str
    open: bool = True


class ToolWatch:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        broker: Broker,
        still_valid: Callable[[str], Awaitable[Any]],
        *,
        ping_every_s: float = PING_EVERY_S,
        max_streams: int = MAX_STREAMS,
        max_per_account: int = MAX_STREAMS_PER_ACCOUNT,
    ) -> None:
        """``still_valid`` raises HeddleError for the id of an API key that is good no more."""
        self._db = db
        self._clock = clock
        self._broker = broker
        self._still_valid = still_valid
        self._ping_every_s = ping_every_s
        self._max_streams, self._max_per_account = max_streams, max_per_account
        self._streams: dict[str, list[_Stream]] = {}
        self._stopped = False
        self._lookout = Lookout(self._stamps, POLL_EVERY_S)
        db.on_touched(self._touched)

    def __len__(self) -> int:
        """How many streams are open."""
        return sum(map(len, self._streams.values()))

    def stop(self) -> None:
        """All streams end."""
        self._stopped = True
        self._lookout.wake_all()

    def check_room(self) -> None:
        """Raises TooManyStreams."""
        if len(self) >= self._max_streams:
            raise TooManyStreams(
                f"this server keeps {self._max_streams} streams of changes open already; list the tools "
                "again now and then instead"
            )

    async def changes(self, principal: Principal) -> AsyncGenerator[bool]:
        """At once False, and then True each time that the principal's tools have changed, and False when
        they have not for a while. Ends. Raises TooManyStreams before the first."""
        self.check_room()
        account_id = principal.caller.account_id
        stream = self._enter(account_id)
        try:
            stamp, tools = await self._state(account_id), await self._tools(principal)
            yield False
            while stream.open and not self._stopped:
                moved = await self._lookout.changed(account_id, stamp, self._ping_every_s)
                if not await self._may_go_on(principal, stream):
                    return
                if not moved:
                    yield False
                    continue
                stamp, before = await self._state(account_id), tools
                tools = await self._tools(principal)
                if tools != before:
                    yield True
        finally:
            self._leave(stream)

    async def _may_go_on(self, principal: Principal, stream: _Stream) -> bool:
        try:
            await self._still_valid(principal.caller.key_id)
        except HeddleError:
            return False
        if principal.good_until is not None and self._clock.now_ms() >= principal.good_until * 1000:
            return False
        return stream.open and not self._stopped

    async def _tools(self, principal: Principal) -> bytes:
        """What the principal would be listed, in short."""
        toolset = await self._broker.toolset(principal.tool_scope, ToolSelection("tenant"))
        shown = [tool.model_dump(mode="json", exclude_none=True) for tool in listed(toolset)]
        return hashlib.sha256(await asyncio.to_thread(msgspec.json.encode, shown)).digest()

    def _enter(self, account_id: str) -> _Stream:
        streams = self._streams.setdefault(account_id, [])
        if len(streams) >= self._max_per_account:
            streams.pop(0).open = False
            self._lookout.wake(account_id)
        stream = _Stream(account_id)
        streams.append(stream)
        return stream

    def _leave(self, stream: _Stream) -> None:
        streams = self._streams.get(stream.account_id, [])
        if stream in streams:
            streams.remove(stream)
        if not streams:
            self._streams.pop(stream.account_id, None)

    def _touched(self, names: Sequence[str]) -> None:
        for name in names:
            self._lookout.hint(name)

    async def _state(self, account_id: str) -> _Stamp | None:
        return (await self._stamps([account_id])).get(account_id)

    async def _stamps(self, account_ids: Sequence[str]) -> Mapping[str, _Stamp]:
        parts: dict[str, list[Any]] = {account_id: [] for account_id in account_ids}
        newest: Sequence[tuple[Any, Any]] = (
            (Tool, (Tool.updated_at,)),
            (McpServer, (McpServer.updated_at, McpServer.discovered_at)),
            (
                Connection,
                (Connection.updated_at,),
            ),  # one that ended, or was made again, has been there before
        )
        async with self._db.session() as session:
            for model, columns in newest:
                query = (
                    select(model.account_id, func.count(), *(func.max(column) for column in columns))
                    .where(col(model.account_id).in_(account_ids))
                    .group_by(model.account_id)
                )
                rows = {row[0]: tuple(row[1:]) for row in (await session.exec(query)).all()}
                for account_id in account_ids:
                    parts[account_id].append(rows.get(account_id))
        return {account_id: tuple(part) for account_id, part in parts.items()}
